/** The app in front of a fake llama-server, on a real listener; closed after each test. */
import { createApp } from "../../src/http/app.ts";
import { listen } from "../../src/io/http-server.ts";
import { type FakeLlamaServer, type Script, startFakeLlamaServer } from "../fakes/llama-server.ts";
import { createFakeRuntime, type FakeRuntime, type FakeRuntimeOptions } from "../fakes/runtime.ts";

export interface Stage {
  readonly upstream: FakeLlamaServer;
  readonly runtime: FakeRuntime;
  readonly url: string;
  readonly port: number;
  /** Without a socket. */
  request(path: string, init?: RequestInit): Promise<Response>;
  /** Over a socket of its own. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
}

const open: (() => unknown)[] = [];

export interface StageOptions extends Partial<FakeRuntimeOptions> {
  /** Awaited before the listener gets each answer of the app. */
  readonly beforeAnswer?: (request: Request) => Promise<void>;
}

/** With a `url` in its options the app asks that one, and the fake gets nothing. */
export function setStage(script: Script, { beforeAnswer, ...options }: StageOptions = {}): Stage {
  const upstream = startFakeLlamaServer(script);
  const runtime = createFakeRuntime({ url: upstream.url, ...options });
  const app = createApp(runtime);
  const answer = async (request: Request): Promise<Response> => {
    const response = await app.fetch(request);
    await beforeAnswer?.(request);
    return response;
  };
  const listener = listen({ host: "127.0.0.1", port: 0, fetch: answer });
  open.push(() => {
    upstream.stop();
    return listener.stop(0);
  });
  return {
    upstream,
    runtime,
    url: listener.url,
    port: listener.port,
    request: async (path, init) => await app.request(path, init),
    fetch(path, init) {
      const answered = fetch(`${listener.url}${path}`, { keepalive: false, ...init });
      // What a test leaves unanswered breaks when its stage is cleared: no failure of the next test.
      answered.catch(() => {});
      return answered;
    },
  };
}

/** For `afterEach`. */
export async function clearStages(): Promise<void> {
  await Promise.all(open.splice(0).map((close) => close()));
}

export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

/** The error of an answer, which must have exactly OpenAI's four fields. */
export async function errorOf(response: Response): Promise<ErrorBody["error"]> {
  return fourFields(await response.json());
}

/** The error of a stream's last event, after which nothing may come. */
export function lastError(text: string): ErrorBody["error"] {
  const last = text.trimEnd().split("\n\n").at(-1) ?? "";
  if (!last.startsWith("data: ")) throw new Error(`The stream's last event is no data: ${last}`);
  return fourFields(JSON.parse(last.slice("data: ".length)));
}

function fourFields(value: unknown): ErrorBody["error"] {
  const { error } = value as ErrorBody;
  const isText = (field: unknown): boolean => field === null || typeof field === "string";
  const fields = Object.keys(error).sort().join();
  if (fields !== "code,message,param,type" || !isText(error.param) || !isText(error.code)) {
    throw new Error(`Not OpenAI's error object: ${JSON.stringify(value)}`);
  }
  return error;
}
