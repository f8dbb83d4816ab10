/** Requests that a node is to do for itself, such as a pull: its answer passes as it comes, and an early end is said. */
import { type SynapticError, wrapError } from "../core/errors.ts";
import { createLineTail } from "../core/line-tail.ts";
import { fromOllama } from "../core/translate/node-error.ts";
import { toOllama } from "../core/translate/ollama-error.ts";
import { readBytes } from "./bytes.ts";
import type { RuntimeView } from "./runtime-view.ts";

export interface Passing {
  readonly url: string;
  readonly path: string;
  readonly method: "POST" | "DELETE";
  readonly model: string;
  readonly body: string;
  /** Fires when the client has gone. */
  readonly signal: AbortSignal;
  /** Called when it has succeeded, and waited for before the client is told so. */
  readonly onEnd?: () => Promise<void>;
}

const MAX_REFUSAL_BYTES = 1024 ** 2;
/** A whole model is hashed without a word in between: at 100 MB/s 90 GB. */
const SILENCE_MS = 15 * 60_000;

/** The node's answer, whose status is a good one. @throws SynapticError in every other case. */
export async function askNode(
  view: RuntimeView,
  { url, path, method, model, body, signal, onEnd }: Passing,
): Promise<Response> {
  const quiet = createQuiet(view, signal);
  try {
    const response = await view.ports.http.request(`${url}${path}`, {
      method,
      headers: { "content-type": "application/json" },
      body,
      signal: quiet.signal,
    });
    if (response.ok) return passOn(response, { model, url, quiet, onEnd });
    const text = await readBytes(response.body, { maxBytes: MAX_REFUSAL_BYTES });
    throw fromOllama(response.status, new TextDecoder().decode(text ?? undefined), { model, contextSize: 0 });
  } catch (error) {
    quiet.end();
    throw wrapError("upstream_error", `Cannot ask ${url}`, error);
  }
}

interface Quiet {
  readonly signal: AbortSignal;
  /** Something came. */
  heard(): void;
  end(): void;
}

/** Cuts off a node that says nothing for too long. */
function createQuiet({ ports }: RuntimeView, client: AbortSignal): Quiet {
  const late = new AbortController();
  const arm = () =>
    ports.clock.after(SILENCE_MS, () => late.abort(new Error(`no word for ${SILENCE_MS / 60_000} min`)));
  let cancel = arm();
  return {
    signal: AbortSignal.any([client, late.signal]),
    heard() {
      cancel();
      cancel = arm();
    },
    end: () => cancel(),
  };
}

interface Passed {
  readonly model: string;
  readonly url: string;
  readonly quiet: Quiet;
  readonly onEnd: (() => Promise<void>) | undefined;
}

/** Lines that end without success or an error get the error that they lack (facts/clients.md 2a). */
function passOn(response: Response, { model, url, quiet, onEnd }: Passed): Response {
  const contentType = response.headers.get("content-type") ?? "application/json";
  const isStream = contentType.includes("ndjson");
  const tail = createLineTail((line) => fromOllama(500, line, { model, contextSize: 0 }), "status");
  const reader = response.body?.getReader();
  const failed = (error: SynapticError) =>
    new TextEncoder().encode(
      `${tail.ending() === "broken" ? "\n" : ""}${JSON.stringify(toOllama(error, model).body)}\n`,
    );
  const body = new ReadableStream<Uint8Array>({
    async pull(out) {
      try {
        const { done, value } = (await reader?.read()) ?? { done: true };
        if (!done && value) {
          quiet.heard();
          tail.push(value);
          // Before its last line: ollama-js reads no further, and may use at once what it has pulled.
          if (onEnd && tail.ending() === "done") await onEnd();
          return out.enqueue(value);
        }
        const ending = tail.ending();
        if (isStream && ending !== "done" && ending !== "error") throw new Error("it stopped in the middle");
      } catch (error) {
        out.enqueue(failed(wrapError("upstream_error", `${url} broke off`, error)));
      }
      quiet.end();
      out.close();
    },
    cancel(reason) {
      quiet.end();
      return reader?.cancel(reason);
    },
  });
  return new Response(body, { headers: { "content-type": contentType, "cache-control": "no-cache" } });
}
