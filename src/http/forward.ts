/** Answers a request from a coordinator: whole, or as a stream that waits with comments. */
import { SynapticError, wrapError } from "../core/errors.ts";
import { stillQueued } from "../core/queue-refusals.ts";
import { readBytes } from "./bytes.ts";
import { Call, clientGone, type Forwarding } from "./call.ts";
import { relay } from "./relay.ts";
import type { RuntimeView } from "./runtime-view.ts";
import { type Opened, openUpstream, whyLost } from "./upstream.ts";

/** A stream that is not open by then gets 200 and comments: an error up to here still has its own HTTP status. */
const GRACE_MS = 10_000;
/** A hundred thousand tokens with the probabilities of their alternatives. */
const MAX_ANSWER_BYTES = 256 * 1024 ** 2;

/** Answers one request. @throws SynapticError before the first byte; after it, a stream ends with an error frame. */
export async function forward(view: RuntimeView, request: Forwarding): Promise<Response> {
  const call = new Call(view, request);
  try {
    return request.stream ? await answerStream(view, call) : await answerWhole(view, call);
  } catch (thrown) {
    const error = wrapError("internal", "Cannot answer", thrown);
    call.end(error);
    throw error;
  }
}

async function answerWhole(view: RuntimeView, call: Call): Promise<Response> {
  const held = new AbortController();
  const cancel = view.ports.clock.after(view.config.holdMs, () => held.abort(stillWaiting(view, call)));
  const opening = openUpstream(view, call, AbortSignal.any([call.signal, held.signal]));
  const { grant, response } = await opening.finally(cancel);
  try {
    const bytes = await readBytes(response.body, { maxBytes: MAX_ANSWER_BYTES, onChunk: () => call.heard() });
    if (!bytes) throw new Error(`its answer is larger than ${MAX_ANSWER_BYTES / 1024 ** 2} MiB`);
    call.end(null);
    const type = response.headers.get("content-type") ?? "application/json";
    return new Response(bytes, { status: response.status, headers: { "content-type": type } });
  } catch (error) {
    throw await whyLost(call, grant, error);
  } finally {
    grant.release();
  }
}

/** Of a whole answer that can be held no longer: its model loads, or others have all slots. */
function stillWaiting({ fleet }: RuntimeView, call: Call): SynapticError {
  const { entry } = call.request;
  const place = call.place();
  if (place) return stillQueued(entry.id, place);
  const progress = fleet.progress(entry.id);
  const percent = progress === null ? "" : ` (${Math.round(progress * 100)} %)`;
  return new SynapticError("model_loading", `The model '${entry.id}' is still loading${percent}`, {
    param: "model",
    hint: "try again soon, or ask with stream: true, which waits",
    retryAfterMs: 15_000,
  });
}

async function answerStream(view: RuntimeView, call: Call): Promise<Response> {
  const opening = openUpstream(view, call, call.signal);
  const grace = Promise.withResolvers<null>();
  const cancel = view.ports.clock.after(GRACE_MS, () => grace.resolve(null));
  const late = (await Promise.race([opening, grace.promise]).finally(cancel)) === null;
  let pulled = false;
  const body = new ReadableStream<Uint8Array>({
    type: "direct",
    pull(out) {
      pulled = true;
      return relay(view, { call, opening, late }, out);
    },
    cancel() {
      call.cut(clientGone());
      // Bun does not pull for a client that has left meanwhile (measured with 1.4.5): nobody else would let go.
      if (!pulled) void letGo(call, opening);
    },
  });
  return new Response(body, {
    headers: { "content-type": "text/event-stream", "cache-control": "no-cache", "x-accel-buffering": "no" },
  });
}

async function letGo(call: Call, opening: Promise<Opened>): Promise<void> {
  const opened = await opening.catch(() => null);
  opened?.grant.release();
  call.end(clientGone());
}
