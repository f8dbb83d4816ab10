/** Answers a request from a coordinator: whole, or as a stream that waits with comments. */
import { SynapticError, toOpenAi, wrapError } from "../core/errors.ts";
import type { Runtime } from "../engine/runtime.ts";
import { type Recorder, relay } from "./relay.ts";
import { type Forwarding, openUpstream, whyLost } from "./upstream.ts";

/** A stream that is not open by then gets 200 and comments: an error up to here still has its own HTTP status. */
const GRACE_MS = 10_000;
/** Answers one request. @throws SynapticError before the first byte; after it, a stream ends with an error frame. */
export async function forward(runtime: Runtime, request: Forwarding): Promise<Response> {
  const started = runtime.ports.clock.now();
  const record = (status: number, firstByteMs: number | null): void => {
    const totalMs = runtime.ports.clock.now() - started;
    runtime.metrics.record({ model: request.entry.id, route: "shard", status, firstByteMs, totalMs });
  };
  try {
    return request.stream ? await answerStream(runtime, request, record) : await answerWhole(runtime, request, record);
  } catch (error) {
    record(request.signal.aborted ? 499 : toOpenAi(wrapError("internal", "Cannot answer", error)).status, null);
    throw error;
  }
}

async function answerWhole(runtime: Runtime, request: Forwarding, record: Recorder): Promise<Response> {
  const { clock } = runtime.ports;
  const started = clock.now();
  const held = new AbortController();
  const cancel = clock.after(runtime.config.holdMs, () => held.abort(stillLoading(runtime, request)));
  const { grant, response } = await openUpstream(
    runtime,
    request,
    AbortSignal.any([request.signal, held.signal]),
  ).finally(cancel);
  try {
    const bytes = await response.arrayBuffer();
    record(response.status, clock.now() - started);
    return new Response(bytes, {
      status: response.status,
      headers: { "content-type": contentType(response), ...route(runtime, request) },
    });
  } catch (error) {
    throw await whyLost(grant, request, error);
  } finally {
    grant.release();
  }
}

function stillLoading(runtime: Runtime, { entry }: Forwarding): SynapticError {
  const progress = runtime.fleet.progress(entry.id);
  const percent = progress === null ? "" : ` (${Math.round(progress * 100)} %)`;
  return new SynapticError("model_loading", `The model '${entry.id}' is still loading${percent}`, {
    param: "model",
    hint: "try again soon, or ask with stream: true, which waits",
    retryAfterMs: 15_000,
  });
}

async function answerStream(runtime: Runtime, request: Forwarding, record: Recorder): Promise<Response> {
  const { clock } = runtime.ports;
  const opening = openUpstream(runtime, request, request.signal);
  const grace = Promise.withResolvers<null>();
  const cancel = clock.after(GRACE_MS, () => grace.resolve(null));
  await Promise.race([opening, grace.promise]).finally(cancel);
  const body = new ReadableStream<Uint8Array>({
    type: "direct",
    pull: (out) => relay(runtime, request, opening, out, record),
  });
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream",
      "cache-control": "no-cache",
      "x-accel-buffering": "no",
      ...route(runtime, request),
    },
  });
}

function contentType(response: Response): string {
  return response.headers.get("content-type") ?? "application/json";
}

function route(runtime: Runtime, { entry }: Forwarding): Record<string, string> {
  return { "x-synaptic-route": "shard", "x-synaptic-reason": runtime.fleet.reason(entry.id) };
}
