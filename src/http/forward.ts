/** Answers a request from a coordinator or a node: whole, or as a stream that waits with comments. */
import { type SynapticError, wrapError } from "../core/errors.ts";
import { readJson } from "../core/translate/json.ts";
import { stillWaiting } from "../core/wait-words.ts";
import type { Outcome } from "../engine/pool.ts";
import { readBytes } from "./bytes.ts";
import { Call, clientGone, type Forwarding } from "./call.ts";
import type { Translation } from "./exchange.ts";
import type { Opened } from "./incoming.ts";
import { relay } from "./relay.ts";
import type { RuntimeView } from "./runtime-view.ts";
import { judge, openUpstream } from "./upstream.ts";

/** A stream that is not open by then gets 200 and comments: an error up to here still has its own HTTP status. */
const GRACE_MS = 10_000;
/** A hundred thousand tokens with the probabilities of their alternatives. */
const MAX_ANSWER_BYTES = 256 * 1024 ** 2;
/** Of a whole answer whose coordinator died within it. Its client has seen nothing of it. */
const RERUNS = 2;

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
  const { way, resumes = true } = call.request;
  const hold = { ms: view.config.holdMs, error: () => stillWaiting(way.model, call.queued(), way.load()) };
  let failed: SynapticError | null = null;
  for (let losses = 0; ; losses++) {
    const { place, response } = await openUpstream(view, call, { hold, failed });
    let outcome: Outcome = "answered";
    try {
      const bytes = await readBytes(response.body, { maxBytes: MAX_ANSWER_BYTES, onChunk: () => call.heard() });
      if (!bytes) throw new Error(`its answer is larger than ${MAX_ANSWER_BYTES / 1024 ** 2} MiB`);
      const answer = place.asked.translation ? translated(place.asked.translation, bytes) : passed(response, bytes);
      call.end(null);
      return answer;
    } catch (thrown) {
      const verdict = await judge(call, place, thrown);
      outcome = verdict.outcome;
      if (!verdict.elsewhere || !resumes || losses === RERUNS) throw verdict.error;
      call.unwatch();
      failed = verdict.error;
      view.metrics.resume(way.model, "rerun");
      view.ports.log.info(`${way.model} answers a request from its start`, { request: call.request.id });
    } finally {
      place.release(outcome);
    }
  }
}

function passed({ status, headers }: Response, bytes: Uint8Array): Response {
  return new Response(bytes, {
    status,
    headers: { "content-type": headers.get("content-type") ?? "application/json" },
  });
}

/** @throws SynapticError when it is no whole answer. */
function translated(translation: Translation, bytes: Uint8Array): Response {
  const answer = translation.whole(readJson(new TextDecoder().decode(bytes)));
  if (!answer.ok) throw answer.error;
  return Response.json(answer.body);
}

async function answerStream(view: RuntimeView, call: Call): Promise<Response> {
  const opening = openUpstream(view, call);
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
    headers: {
      "content-type": call.request.client.contentType,
      "cache-control": "no-cache",
      "x-accel-buffering": "no",
    },
  });
}

async function letGo(call: Call, opening: Promise<Opened>): Promise<void> {
  const opened = await opening.catch(() => null);
  opened?.place.release("neither");
  call.end(clientGone());
}
