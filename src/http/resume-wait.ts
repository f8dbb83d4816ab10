/** The wait of a stream for its model's next coordinator: told in comments, and no longer than the owner allows. */
import { resumesInMs, resumesTooLate, resumingWords } from "../core/wait-words.ts";
import type { Call } from "./call.ts";
import { every } from "./every.ts";
import type { Sink } from "./incoming.ts";
import type { RuntimeView } from "./runtime-view.ts";

export interface ResumeWait {
  /** It waits for a place, again perhaps; the signal fires with the error that it takes too long. */
  begin(): AbortSignal;
  /** It has its place: however long the prompt takes from now on, the watch over silence is its limit. */
  granted(): void;
  /** No more comments. */
  stop(): void;
}

/** Between two looks at how far the load is: soon after it is planned, its estimate is known. */
const LOOK_MS = 250;
const LOOKS_PER_COMMENT = 20;

/** Begins with a comment at once. */
export function waitToResume({ ports, config }: RuntimeView, call: Call, out: Sink): ResumeWait {
  const { client, way } = call.request;
  const limit = new AbortController();
  const started = ports.clock.now();
  let isGranted = false;
  let knew = false;
  let looks = 0;
  const say = (): void => {
    looks = 0;
    out.write(client.waiting(resumingWords(call.queued(), way.load())));
    out.flush();
  };
  const look = (): void => {
    const leftMs = resumesInMs(call.queued(), way.load());
    const spentMs = ports.clock.now() - started;
    if (!isGranted && Math.max(spentMs, spentMs + (leftMs ?? 0)) >= config.resumeWithinMs) {
      limit.abort(resumesTooLate(way.model, leftMs));
      return;
    }
    looks++;
    if (looks < LOOKS_PER_COMMENT && (knew || leftMs === null)) return;
    knew ||= leftMs !== null;
    say();
  };
  say();
  return {
    begin() {
      isGranted = false;
      return limit.signal;
    },
    granted() {
      isGranted = true;
    },
    stop: every(ports.clock, LOOK_MS, look),
  };
}
