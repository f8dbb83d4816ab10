/** The hot path: a coordinator's stream to the client, byte for byte. */
import { SynapticError, toOpenAi, wrapError } from "../core/errors.ts";
import type { Runtime } from "../engine/runtime.ts";
import { type Forwarding, type Opened, silent, whyLost } from "./upstream.ts";

/** Between comments while a model loads; clients and proxies give up after 30 s of silence at the earliest. */
const COMMENT_MS = 5_000;
/** How often a silent upstream is looked at: once per second, instead of a timer per chunk. */
const WATCH_MS = 1_000;

/** Told once, when the answer has ended. */
export type Recorder = (status: number, firstByteMs: number | null) => void;

type Sink = ReadableStreamDirectController;

/** Writes comments until the coordinator answers, then its bytes as they come; always ends the stream. */
export async function relay(
  runtime: Runtime,
  request: Forwarding,
  opening: Promise<Opened>,
  out: Sink,
  record: Recorder,
): Promise<void> {
  const { clock } = runtime.ports;
  const started = clock.now();
  let opened: Opened | null = null;
  let firstByteMs: number | null = null;
  let status = 200;
  const comments = every(runtime, COMMENT_MS, () => {
    out.write(`: ${waitingFor(runtime, request)}\n\n`);
    out.flush();
  });
  try {
    opened = await opening;
    comments.stop();
    await pump(runtime, opened, out, () => (firstByteMs ??= clock.now() - started));
  } catch (error) {
    const reason = opened && !opened.stall.signal.aborted ? await whyLost(opened.grant, request, error) : error;
    const known = wrapError("upstream_error", "The model's connection broke", opened?.stall.signal.reason ?? reason);
    status = request.signal.aborted ? 499 : toOpenAi(known).status;
    if (!request.signal.aborted) out.write(errorFrame(known));
  } finally {
    comments.stop();
    opened?.grant.release();
    record(status, firstByteMs);
    out.close();
  }
}

function waitingFor(runtime: Runtime, { entry }: Forwarding): string {
  const progress = runtime.fleet.progress(entry.id);
  return progress === null ? "waiting for the model" : `loading ${Math.round(progress * 100)}%`;
}

/** A frame that every SDK raises as an error, in front of which a broken event is ended (facts/clients.md 2a). */
function errorFrame(error: SynapticError): string {
  return `\n\ndata: ${JSON.stringify(toOpenAi(error).body)}\n\n`;
}

/** Bytes through, with back-pressure; looks only at whether a chunk is data, and at the last one's end. */
async function pump(runtime: Runtime, { response, stall }: Opened, out: Sink, onData: () => void): Promise<void> {
  const { clock } = runtime.ports;
  if (!response.body) return;
  const reader = response.body.getReader();
  let lastData = clock.now();
  let tail: Uint8Array = new Uint8Array();
  const watch = every(runtime, WATCH_MS, () => {
    if (clock.now() - lastData > runtime.config.silenceMs) stall.abort(silent(runtime));
  });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (!isComment(value)) {
        lastData = clock.now();
        onData();
        tail = value;
      }
      const written = out.write(value);
      out.flush();
      if (typeof written !== "number") await written;
    }
    if (!isEnd(tail)) throw new SynapticError("upstream_error", "The model's answer broke off before its end");
  } finally {
    watch.stop();
  }
}

const COLON = 58;
/** llama-server's own pings are `:\n\n`: they are no progress (facts/llamacpp.md c). */
const LONGEST_PING = 16;

function isComment(chunk: Uint8Array): boolean {
  return chunk[0] === COLON && chunk.length <= LONGEST_PING;
}

const DONE = "data: [DONE]";
const ERROR = "error";

/** The stream ended as it should: with `[DONE]`, or with an error frame of llama-server's own. */
function isEnd(chunk: Uint8Array): boolean {
  const text = new TextDecoder().decode(chunk.subarray(-4096));
  return text.trimEnd().endsWith(DONE) || text.slice(0, 20).includes(ERROR);
}

function every(runtime: Runtime, ms: number, run: () => void): { stop(): void } {
  const { clock } = runtime.ports;
  let cancel = () => {};
  const again = () => {
    cancel = clock.after(ms, () => {
      run();
      again();
    });
  };
  again();
  return { stop: () => cancel() };
}
