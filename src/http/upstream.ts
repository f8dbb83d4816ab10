/** Gets a call to its coordinator: a place, then the headers of the answer. */
import { SynapticError, wrapError } from "../core/errors.ts";
import { fromUpstream } from "../core/upstream-error.ts";
import type { Grant } from "../engine/grant.ts";
import { readBytes } from "./bytes.ts";
import type { Call } from "./call.ts";
import type { RuntimeView } from "./runtime-view.ts";

export interface Opened {
  readonly grant: Grant;
  /** Its status is a good one. */
  readonly response: Response;
}

const MAX_REFUSAL_BYTES = 1024 ** 2;

/** Waits for a place on the coordinator, then for its headers. `waiting` ends the wait for a place only. A coordinator
 *  that dies before its first byte is started again, once: the client need not know. */
export async function openUpstream(view: RuntimeView, call: Call, waiting: AbortSignal): Promise<Opened> {
  for (let attempt = 1; ; attempt++) {
    const grant = await view.fleet.acquire(call.request.entry, waiting, call.ask(attempt > 1));
    try {
      return { grant, response: await ask(view, call, grant) };
    } catch (error) {
      const died = await causeOfDeath(call, grant, error);
      grant.release();
      if (!died || attempt > 1) throw died ?? lost(call, error);
    }
  }
}

async function ask(view: RuntimeView, call: Call, grant: Grant): Promise<Response> {
  const { path, body } = call.request;
  call.watch(grant);
  try {
    const response = await view.ports.http.request(`${grant.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${grant.apiKey}` },
      body,
      signal: call.signal,
    });
    if (response.ok) return response;
    const refusal = await readBytes(response.body, { maxBytes: MAX_REFUSAL_BYTES });
    throw fromUpstream(response.status, new TextDecoder().decode(refusal ?? undefined));
  } catch (error) {
    call.unwatch();
    throw error;
  }
}

/** Why an upstream's connection broke: the call was cut, the coordinator died, or nobody knows. */
export async function whyLost(call: Call, grant: Grant, error: unknown): Promise<SynapticError> {
  return (await causeOfDeath(call, grant, error)) ?? lost(call, error);
}

/** Null when the coordinator still runs, or does not matter: the call was cut, or it was answered with an error. */
async function causeOfDeath({ signal }: Call, grant: Grant, error: unknown): Promise<SynapticError | null> {
  return signal.aborted || error instanceof SynapticError ? null : await grant.failure();
}

function lost({ signal }: Call, error: unknown): SynapticError {
  return wrapError("upstream_error", "The model's connection broke", signal.aborted ? signal.reason : error);
}
