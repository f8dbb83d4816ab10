/** One request on its way: what may cut it, the watch over silence, and its one record at the end. */
import { SynapticError, toOpenAi } from "../core/errors.ts";
import type { QueuePlace } from "../core/queue-refusals.ts";
import { slotsPulse } from "../core/slots.ts";
import type { Ask, LookAtPlace } from "../engine/admission.ts";
import type { ClientSide } from "./exchange.ts";
import type { RuntimeView } from "./runtime-view.ts";
import type { Place, Way } from "./way.ts";

export interface Forwarding {
  /** Of the client's request, for the log. */
  readonly id: string;
  readonly way: Way;
  readonly client: ClientSide;
  readonly stream: boolean;
  /** Name of the key that it came with; null without one. */
  readonly key: string | null;
  /** Fires when the client has gone. */
  readonly signal: AbortSignal;
  /** Called when it has ended and was recorded. */
  readonly onEnd: () => void;
  /** False: it ends where its coordinator dies after the first byte; true when left out. */
  readonly resumes?: boolean;
}

export class Call {
  readonly request: Forwarding;
  readonly #view: RuntimeView;
  readonly #line = new AbortController();
  readonly #started: number;
  #heardAt = 0;
  #firstByteAt: number | null = null;
  /** The place that it has now has sent something. */
  #isAnswered = false;
  #clientIsBehind = false;
  #cancelWatch = () => {};
  /** Since when it has waited for the slot that it has not got yet. */
  #askedAt = 0;
  /** For its slots, both together where one died before the first byte; null before it got one. */
  #waitedMs: number | null = null;
  /** Tells its place in the queue; null before it had to wait. */
  #look: LookAtPlace | null = null;
  #place: Place | null = null;
  /** What the coordinator had done when it was last looked at. */
  #pulse: string | null = null;
  #ended = false;

  constructor(view: RuntimeView, request: Forwarding) {
    this.#view = view;
    this.request = request;
    this.#started = view.ports.clock.now();
    const leave = () => this.cut(clientGone());
    if (request.signal.aborted) leave();
    else request.signal.addEventListener("abort", leave, { once: true });
  }

  /** Fires with the first reason to stop: the client has left, or the upstream fell silent. */
  get signal(): AbortSignal {
    return this.#line.signal;
  }

  cut(reason: SynapticError): void {
    this.#line.abort(reason);
  }

  /** How it asks for a slot; `again` when the coordinator of the last one died. */
  ask(again: boolean): Ask {
    this.#askedAt = this.#view.ports.clock.now();
    const onWait = (look: LookAtPlace): void => {
      this.#look = look;
    };
    return { key: this.request.key, again, onWait };
  }

  /** Where it stands in the queue; null while it does not wait for a slot: the model loads, or it has one. */
  queued(): QueuePlace | null {
    return this.#look?.() ?? null;
  }

  /** It has its slot. From now on the upstream may be silent for as long as the config allows; before its first byte only
   *  while it does no work, since a whole answer or a long prompt is silent however well it goes. */
  watch(place: Place): void {
    this.#place = place;
    this.#isAnswered = false;
    this.#heardAt = this.#view.ports.clock.now();
    this.#waitedMs = (this.#waitedMs ?? 0) + this.#heardAt - this.#askedAt;
    this.#arm(this.#view.config.silenceMs / 2);
  }

  unwatch(): void {
    this.#cancelWatch();
  }

  /** The upstream made progress. Called for each chunk: no timer is touched. */
  heard(): void {
    this.#heardAt = this.#view.ports.clock.now();
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    this.#firstByteAt ??= this.#heardAt;
    this.#place?.heard();
  }

  /** Waits until the client has taken what was written to it. @throws the reason of a cut. */
  async taken(written: PromiseLike<number>): Promise<void> {
    this.#clientIsBehind = true;
    await orCut(written, this.signal);
    this.#clientIsBehind = false;
    this.#heardAt = this.#view.ports.clock.now();
  }

  /** Records how it ended; only the first time counts. */
  end(error: SynapticError | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelWatch();
    const { ports, metrics } = this.#view;
    const now = ports.clock.now();
    const { model, route } = this.request.way;
    const status = error ? toOpenAi(error).status : 200;
    const firstByteMs = this.#firstByteAt === null ? null : this.#firstByteAt - this.#started;
    const refused = error?.code === "too_busy" && this.#waitedMs === null;
    const rejected = refused ? (this.#look ? "waited" : "queue_full") : null;
    const waitedMs = this.#waitedMs;
    metrics.record({ model, route, status, firstByteMs, totalMs: now - this.#started, waitedMs, rejected });
    // The others are refusals that the client can act on: full, loading, too large.
    if (error && [500, 502, 504].includes(status))
      ports.log.error(error.message, { model, status, request: this.request.id });
    this.request.onEnd();
  }

  #arm(ms: number): void {
    this.#cancelWatch();
    this.#cancelWatch = this.#view.ports.clock.after(ms, () => void this.#judge());
  }

  /** Looks twice per allowed silence, so that two readings of the work done lie within it. */
  async #judge(): Promise<void> {
    const { ports, config } = this.#view;
    const quietMs = () => ports.clock.now() - this.#heardAt;
    let works = false;
    if (this.#place && !this.#clientIsBehind && quietMs() >= config.silenceMs / 2) {
      const pulse = await readPulse(ports, this.#place, this.signal);
      if (this.#ended || this.signal.aborted) return;
      works = this.#pulse !== null && pulse !== null && pulse !== this.#pulse;
      if (works && !this.#isAnswered) this.#heardAt = ports.clock.now();
      this.#pulse = pulse;
    }
    const leftMs = config.silenceMs - quietMs();
    if (leftMs > 0) return this.#arm(Math.min(leftMs, config.silenceMs / 2));
    if (this.#clientIsBehind) return this.cut(clientStuck());
    this.cut(silent(config.silenceMs));
    if (!works) this.#place?.suspect();
  }
}

const PULSE_MS = 2_000;

/** What the coordinator's slots have done so far; null when it does not say. */
async function readPulse({ clock, http }: RuntimeView["ports"], { slots }: Place, signal: AbortSignal) {
  if (!slots) return null;
  const slow = new AbortController();
  const cancel = clock.after(PULSE_MS, () => slow.abort());
  try {
    const response = await http.request(slots.url, {
      method: "GET",
      headers: slots.headers,
      signal: AbortSignal.any([signal, slow.signal]),
    });
    const text = await response.text();
    return response.ok ? slotsPulse(text) : null;
  } catch {
    // Too slow, or gone: then it does no work that could be seen.
    return null;
  } finally {
    cancel();
  }
}

/** Written for each wait, so that a long stream does not gather listeners on its signal. */
function orCut(written: PromiseLike<number>, signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const cut = () => reject(signal.reason);
    if (signal.aborted) return cut();
    signal.addEventListener("abort", cut, { once: true });
    written.then((value) => {
      signal.removeEventListener("abort", cut);
      resolve(value);
    }, reject);
  });
}

export function clientGone(): SynapticError {
  return new SynapticError("client_gone", "The client has gone");
}

/** A client that stops reading must not hold its slot for good. */
function clientStuck(): SynapticError {
  return new SynapticError("client_gone", "The client has stopped reading");
}

function silent(silenceMs: number): SynapticError {
  return new SynapticError("upstream_timeout", `The model sent nothing for ${Math.round(silenceMs / 1000)} s`, {
    hint: "a backend may hang: see `synaptic backends`; agent_timeout in the config sets the limit",
  });
}
