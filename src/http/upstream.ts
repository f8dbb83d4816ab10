/** Gets a call to whoever answers it: a place, then the headers of the answer. */
import { type SynapticError, wrapError } from "../core/errors.ts";
import { readBytes } from "./bytes.ts";
import type { Call } from "./call.ts";
import type { Asked } from "./exchange.ts";

import { type ChunkReader, type Opened, readerOf } from "./incoming.ts";
import type { RuntimeView } from "./runtime-view.ts";
import type { Place, Verdict } from "./way.ts";

export interface OpenOptions {
  /** The longest wait for each place, in ms, and what it ends with; a stream waits as long as it takes. */
  readonly hold?: { readonly ms: number; readonly error: () => SynapticError };
  /** Called before each wait for a place; it ends that too. */
  readonly waiting?: () => AbortSignal;
  /** The place before failed with it. */
  readonly failed?: SynapticError | null;
  /** What it is asked instead. */
  readonly ask?: (place: Place) => Promise<Asked>;
}

const MAX_REFUSAL_BYTES = 1024 ** 2;

/** Waits for a place, then for its headers, and for the first bytes of a stream. A place that fails before its first byte is changed for another one, as long as
 *  there is one: the client need not know. */
export async function openUpstream(view: RuntimeView, call: Call, options: OpenOptions = {}): Promise<Opened> {
  let failed = options.failed ?? null;
  for (;;) {
    const free = await take(view, call, { ...options, failed });
    if (!free) throw failed ?? new Error("there is no place to try");
    call.watch(free);
    try {
      const place = options.ask ? { ...free, asked: await options.ask(free) } : free;
      const response = await ask(view, call, place);
      return call.request.stream ? { place, response, reader: await begun(response) } : { place, response };
    } catch (thrown) {
      call.unwatch();
      const { error, outcome, elsewhere } = await judge(call, free, thrown);
      free.release(outcome);
      if (!elsewhere) throw error;
      failed = error;
    }
  }
}

/** A stream that has begun: whoever breaks off before that can still be changed for another one. */
async function begun(response: Response): Promise<ChunkReader> {
  const reader = readerOf(response);
  const first = await reader.read();
  let isFirst = true;
  return {
    read() {
      if (!isFirst) return reader.read();
      isFirst = false;
      return Promise.resolve(first);
    },
    cancel: () => reader.cancel(),
  };
}

async function take({ ports }: RuntimeView, call: Call, { hold, waiting, failed }: OpenOptions): Promise<Place | null> {
  const held = new AbortController();
  const cancel = hold ? ports.clock.after(hold.ms, () => held.abort(hold.error())) : () => {};
  const signals = [call.signal, held.signal, ...(waiting ? [waiting()] : [])];
  return await call.request.way.take(AbortSignal.any(signals), call.ask(Boolean(failed))).finally(cancel);
}

/** @throws SynapticError when it refuses, or what broke its connection. */
export async function ask(view: RuntimeView, call: Call, place: Place): Promise<Response> {
  const { path, body, refusal, ready } = place.asked;
  if (ready) return new Response(ready(), { headers: { "content-type": "application/json" } });
  const response = await post(view, call, place, { path, body });
  if (response.ok) return response;
  const text = await readBytes(response.body, { maxBytes: MAX_REFUSAL_BYTES });
  throw refusal(response.status, new TextDecoder().decode(text ?? undefined));
}

/** One request to whoever holds the place. */
export function post(
  { ports }: RuntimeView,
  { signal }: Call,
  { url, headers }: Place,
  { path, body }: Pick<Asked, "path" | "body">,
): Promise<Response> {
  return ports.http.request(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
    signal,
  });
}

/** Why an upstream's connection broke: the call was cut, whoever answered died, or nobody knows. */
export async function judge({ signal }: Call, place: Place, error: unknown): Promise<Verdict> {
  if (!signal.aborted) return await place.judge(error);
  const cut = wrapError("upstream_error", "The model's connection broke", signal.reason);
  // Who fell silent has failed; who was left by its client has not.
  return { error: cut, outcome: cut.code === "upstream_timeout" ? "failed" : "neither", elsewhere: false };
}
