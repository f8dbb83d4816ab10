/** A running synaptic as its clients see it. */

import type { BackendSnapshot, CoordinatorSnapshot, Snapshot } from "../../src/core/snapshot.ts";
import { createSseReader } from "../../src/core/sse.ts";
import type { Endpoint } from "../../src/core/units.ts";
import { type Program, until } from "./program.ts";

export interface Synaptic extends Program {
  /** Without a path, such as `http://127.0.0.1:40123`. */
  readonly url: string;
  /** For commands beside it: `--port` and its port. */
  readonly portFlag: readonly string[];
  status(): Promise<Snapshot>;
  /** Its status as soon as it fits. */
  untilStatus<T>(what: string, pick: (snapshot: Snapshot) => T | null | undefined): Promise<T>;
  backend(endpoint: Endpoint): Promise<BackendSnapshot>;
  coordinator(model: string): Promise<CoordinatorSnapshot>;
  /** Loads a model, and returns the pid of its llama-server. */
  load(model: string): Promise<number>;
  post(path: string, body: object, signal?: AbortSignal): Promise<Response>;
  get(path: string): Promise<Response>;
}

/** Settles when the program listens; each llama-server that is loaded on request is told to `onLoaded`. */
export async function connect(program: Program, onLoaded: (pid: number) => void = () => {}): Promise<Synaptic> {
  const [, url = ""] = await program.untilLine(/listens on (http:\/\/\S+)\/v1/);
  const get = (path: string) => fetch(`${url}${path}`);
  const post: Synaptic["post"] = (path, body, signal) =>
    fetch(`${url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      ...(signal && { signal }),
    });
  // Our own server's answer: what it holds is what the tests are about.
  const status = async () => (await (await get("/synaptic/status")).json()) as Snapshot;
  const coordinator: Synaptic["coordinator"] = async (model) => {
    const found = (await status()).coordinators.find((each) => each.model === model);
    if (!found) throw new Error(`No coordinator of ${model}`);
    return found;
  };
  return {
    ...program,
    url,
    portFlag: ["--port", new URL(url).port],
    status,
    untilStatus: (what, pick) => until(what, async () => pick(await status()) ?? null),
    async backend(endpoint) {
      const found = (await status()).backends.find((each) => each.endpoint === endpoint);
      if (!found) throw new Error(`No backend ${endpoint}`);
      return found;
    },
    coordinator,
    async load(model) {
      const response = await post("/synaptic/models/load", { model });
      if (!response.ok) throw new Error(`Cannot load ${model}: ${await response.text()}\n${program.stderr()}`);
      const { pid } = await coordinator(model);
      if (pid === null) throw new Error(`${model} is loaded, but has no process`);
      onLoaded(pid);
      return pid;
    },
    post,
    get,
  };
}

export interface Heard {
  readonly text: string;
  /** Whether `[DONE]` came. */
  readonly done: boolean;
  /** The last error frame. */
  readonly error: { readonly message: string; readonly code: string | null } | null;
}

interface Frame {
  readonly choices?: readonly { readonly text?: string; readonly delta?: { readonly content?: string | null } }[];
  readonly error?: { readonly message: string; readonly code: string | null };
}

/** Reads a stream to its end; `onText` hears all text so far after each piece. */
export async function hear(response: Response, onText: (text: string) => void = () => {}): Promise<Heard> {
  const read = createSseReader();
  const decoder = new TextDecoder();
  let heard: Heard = { text: "", done: false, error: null };
  for await (const bytes of response.body ?? []) {
    for (const event of read(decoder.decode(bytes, { stream: true }))) heard = take(heard, event);
    onText(heard.text);
  }
  return heard;
}

function take(heard: Heard, event: string): Heard {
  if (event === "[DONE]") return { ...heard, done: true };
  // OpenAI's chunk of either kind, or an error.
  const { choices = [], error = null } = JSON.parse(event) as Frame;
  const piece = choices[0]?.delta?.content ?? choices[0]?.text ?? "";
  return { ...heard, text: heard.text + piece, error: error ?? heard.error };
}

/** The text of an answer of either kind. */
export async function textOf(response: Response): Promise<string> {
  const body = await response.text();
  if (!response.ok) throw new Error(`${response.status}: ${body}`);
  const [choice] = (JSON.parse(body) as { choices: { text?: string; message?: { content: string } }[] }).choices;
  return choice?.message?.content ?? choice?.text ?? "";
}
