/** Gets a request to its coordinator: a place, then the headers of the answer. */
import { SynapticError, wrapError } from "../core/errors.ts";
import { fromUpstream } from "../core/upstream-error.ts";
import type { Grant } from "../engine/admission.ts";
import type { CatalogEntry } from "../engine/catalog.ts";
import type { Runtime } from "../engine/runtime.ts";

export interface Forwarding {
  readonly entry: CatalogEntry;
  /** Of the coordinator, such as `/v1/chat/completions`. */
  readonly path: string;
  /** The client's own bytes. */
  readonly body: Uint8Array;
  readonly stream: boolean;
  /** Fires when the client has gone. */
  readonly signal: AbortSignal;
}

export interface Opened {
  readonly grant: Grant;
  readonly response: Response;
  /** Ends the upstream: a stall. */
  readonly stall: AbortController;
}

/** Waits for a place on the coordinator, then for its headers. `waiting` ends the wait for a place only. A coordinator
 *  that dies before its first byte is started again, once: the client need not know. */
export async function openUpstream(runtime: Runtime, request: Forwarding, waiting: AbortSignal): Promise<Opened> {
  const { entry, path, body, signal } = request;
  for (let attempt = 1; ; attempt++) {
    const grant = await runtime.fleet.acquire(entry, waiting);
    const stall = new AbortController();
    const stop = watchSilence(runtime, stall);
    try {
      const headers = { "content-type": "application/json", authorization: `Bearer ${grant.apiKey}` };
      const upstream = AbortSignal.any([signal, stall.signal]);
      const response = await runtime.ports.http.request(`${grant.url}${path}`, {
        method: "POST",
        headers,
        body,
        signal: upstream,
      });
      if (response.ok) return { grant, response, stall };
      const refused = fromUpstream(response.status, await response.text());
      grant.release();
      throw refused;
    } catch (error) {
      if (error instanceof SynapticError) throw error;
      const lost = stall.signal.aborted ? stall.signal.reason : await whyLost(grant, request, error);
      grant.release();
      if (attempt > 1 || signal.aborted || stall.signal.aborted || (await grant.failure()) === null) throw lost;
    } finally {
      stop();
    }
  }
}

/** Fires `stall` after the configured silence; what it returns ends the watch. */
function watchSilence(runtime: Runtime, stall: AbortController): () => void {
  return runtime.ports.clock.after(runtime.config.silenceMs, () => stall.abort(silent(runtime)));
}

/** The error of an upstream that fell silent. */
export function silent(runtime: Runtime): SynapticError {
  const seconds = Math.round(runtime.config.silenceMs / 1000);
  return new SynapticError("upstream_timeout", `The model sent nothing for ${seconds} s`, {
    hint: "a backend may hang: see `synaptic backends`; agent_timeout in the config sets the limit",
  });
}

/** Why an upstream's connection broke: the client left, the coordinator went, or neither is known. */
export async function whyLost(grant: Grant, { signal }: Forwarding, error: unknown): Promise<unknown> {
  if (signal.aborted) return signal.reason;
  return (await grant.failure()) ?? wrapError("upstream_error", "The model's connection broke", error);
}
