/** Gets a call to whoever answers it: a place, then the headers of the answer. */
import { type SynapticError, wrapError } from "../core/errors.ts";
import { readBytes } from "./bytes.ts";
import type { Call } from "./call.ts";
import type { RuntimeView } from "./runtime-view.ts";
import type { Place, Verdict } from "./way.ts";

export interface Opened {
  readonly place: Place;
  /** Its status is a good one. */
  readonly response: Response;
}

const MAX_REFUSAL_BYTES = 1024 ** 2;

/** Waits for a place, then for its headers. `waiting` ends the wait for a place only. A place that fails before its first
 *  byte is changed for another one, as long as there is one: the client need not know. */
export async function openUpstream(view: RuntimeView, call: Call, waiting: AbortSignal): Promise<Opened> {
  let failed: SynapticError | null = null;
  for (;;) {
    const place: Place | null = await call.request.way.take(waiting, call.ask(failed !== null));
    if (!place) throw failed ?? new Error("there is no place to try");
    try {
      return { place, response: await ask(view, call, place) };
    } catch (thrown) {
      const { error, outcome, elsewhere } = await judge(call, place, thrown);
      place.release(outcome);
      if (!elsewhere) throw error;
      failed = error;
    }
  }
}

async function ask(view: RuntimeView, call: Call, place: Place): Promise<Response> {
  const { path, body, refusal, ready } = place.asked;
  call.watch(place);
  if (ready) return new Response(ready(), { headers: { "content-type": "application/json" } });
  try {
    const response = await view.ports.http.request(`${place.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...place.headers },
      body,
      signal: call.signal,
    });
    if (response.ok) return response;
    const text = await readBytes(response.body, { maxBytes: MAX_REFUSAL_BYTES });
    throw refusal(response.status, new TextDecoder().decode(text ?? undefined));
  } catch (error) {
    call.unwatch();
    throw error;
  }
}

/** Why an upstream's connection broke: the call was cut, whoever answered died, or nobody knows. */
export async function judge({ signal }: Call, place: Place, error: unknown): Promise<Verdict> {
  if (!signal.aborted) return await place.judge(error);
  const cut = wrapError("upstream_error", "The model's connection broke", signal.reason);
  // Who fell silent has failed; who was left by its client has not.
  return { error: cut, outcome: cut.code === "upstream_timeout" ? "failed" : "neither", elsewhere: false };
}
