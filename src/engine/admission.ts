/** Who waits for a coordinator and who uses it: its slots, one request each, and the fair queue before them. */
import type { QueueConfig } from "../core/config-types.ts";
import type { SynapticError } from "../core/errors.ts";
import { type FairQueue, joinQueue, leaveQueue, positionOf, queueLength, takeTurn } from "../core/fair-queue.ts";
import { averageHold, estimateWaitMs } from "../core/queue-estimate.ts";
import { type QueuePlace, queueFull, waitedTooLong } from "../core/queue-refusals.ts";
import type { CoordinatorSnapshot } from "../core/snapshot.ts";
import { type Grant, Slots, type Target } from "./grant.ts";
import type { Clock } from "./ports.ts";

/** What a request wants of a model, beside its signal. */
export interface Ask {
  /** Name of the key that it came with; null without one. */
  readonly key?: string | null;
  /** It had a slot of a coordinator that died: it has the next turn. */
  readonly again?: boolean;
  /** `load`: only that the model is ready. Such a one takes no slot and no turn. */
  readonly wants?: "slot" | "load";
  /** Called once when it has to wait, with what tells its place. */
  readonly onWait?: (look: LookAtPlace) => void;
}

/** Null while nobody is let in: the model loads, or is not loaded. */
export type LookAtPlace = () => QueuePlace | null;

export interface AdmissionOptions {
  readonly model: string;
  readonly rules: QueueConfig;
  /** A wait goes on beyond its limit while the model loads: a load has deadlines of its own. */
  readonly isLoading: () => boolean;
  /** Nobody holds a slot any more. */
  readonly onEmpty: () => void;
}

interface Waiter {
  readonly since: number;
  readonly wants: "slot" | "load";
  /** Its longest wait begins now. */
  readonly arm: () => void;
  readonly resolve: (grant: Grant) => void;
  readonly reject: (error: unknown) => void;
}

/** Every waiter is answered exactly once: by a grant, an error, or its own signal. */
export class Admission {
  readonly #clock: Clock;
  readonly #options: AdmissionOptions;
  /** By ticket, the oldest first. */
  readonly #waiters = new Map<number, Waiter>();
  #queue: FairQueue = [];
  #tickets = 0;
  /** The last one that let anybody in. */
  #slots: Slots | null = null;
  #isOpen = false;
  /** Grants that are out, those of earlier coordinators included. */
  #busy = 0;
  #averageMs: number | null = null;
  #lastUsed: number;

  constructor(clock: Clock, options: AdmissionOptions) {
    this.#clock = clock;
    this.#options = options;
    this.#lastUsed = clock.now();
  }

  /** Resolves when its turn comes and a slot is free. Rejects with the signal's reason, with `too_busy` when the queue is
   *  full or it has waited for too long, or with what `rejectAll` is given. */
  wait(signal: AbortSignal, ask: Ask = {}): Promise<Grant> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const slots = this.#openSlots();
    if (slots && ask.wants === "load") return Promise.resolve(slots.visit());
    if (slots?.hasFree()) return Promise.resolve(this.#grant(slots));
    return this.#enqueue(signal, ask);
  }

  /** From now on grants at once, to as many as there are slots, then with each slot that is given back. Again for the
   *  same coordinator, it changes nothing. */
  open(target: Target, total: number): void {
    const slots = this.#slots?.target.gone === target.gone ? this.#slots : new Slots(this.#clock, target, total);
    this.#slots = slots;
    if (!this.#isOpen) {
      this.#isOpen = true;
      for (const waiter of [...this.#waiters.values()]) {
        if (waiter.wants === "load") waiter.resolve(slots.visit());
        else waiter.arm();
      }
    }
    this.#serve();
  }

  /** Grants no more; who waits goes on waiting. */
  shut(): void {
    this.#isOpen = false;
  }

  rejectAll(error: SynapticError): void {
    for (const waiter of [...this.#waiters.values()]) waiter.reject(error);
  }

  /** Requests that hold a grant. */
  busy(): number {
    return this.#busy;
  }

  /** Those that wait for a load only included. */
  waiting(): number {
    return this.#waiters.size;
  }

  /** For how long the first one has waited; null when nobody waits. */
  oldestMs(): number | null {
    const oldest = this.#waiters.values().next().value;
    return oldest === undefined ? null : this.#clock.now() - oldest.since;
  }

  /** When a grant was last given back. */
  lastUsed(): number {
    return this.#lastUsed;
  }

  /** For the snapshot, of a coordinator with so many slots. */
  load(total: number): Pick<CoordinatorSnapshot, "slots" | "queue"> {
    const slots = this.#slots;
    const taken = slots && !slots.target.gone.aborted ? slots.taken() : 0;
    const estimateMs = this.#openSlots()?.hasFree() === false ? this.#estimate(queueLength(this.#queue) + 1) : null;
    return {
      slots: { total, busy: Math.min(total, taken) },
      queue: { length: this.#waiters.size, oldestMs: this.oldestMs(), ...(estimateMs !== null && { estimateMs }) },
    };
  }

  /** Those of the coordinator that lets requests in now. */
  #openSlots(): Slots | null {
    return this.#isOpen ? this.#slots : null;
  }

  #enqueue(signal: AbortSignal, { key = null, again = false, wants = "slot", onWait }: Ask): Promise<Grant> {
    const { model, rules } = this.#options;
    const ticket = ++this.#tickets;
    if (wants === "slot") {
      const joined = joinQueue(this.#queue, { ticket, key, again }, rules);
      if (!joined.ok) {
        const bound = joined.full === "model" ? rules.perModel : rules.perKey;
        const estimateMs = this.#estimate(queueLength(this.#queue) + 1);
        return Promise.reject(queueFull({ model, full: joined.full, bound, estimateMs }));
      }
      this.#queue = joined.queue;
    }
    return new Promise((resolve, reject) => {
      this.#waiters.set(ticket, this.#waiter(ticket, { signal, wants, resolve, reject }));
      onWait?.(() => this.#place(ticket));
    });
  }

  #waiter(
    ticket: number,
    { signal, wants, resolve, reject }: Pick<Waiter, "wants" | "resolve" | "reject"> & { readonly signal: AbortSignal },
  ): Waiter {
    const { model, rules, isLoading } = this.#options;
    let cancel = () => {};
    const settle = <T>(answer: (value: T) => void) => {
      return (value: T) => {
        this.#waiters.delete(ticket);
        this.#queue = leaveQueue(this.#queue, ticket);
        signal.removeEventListener("abort", leave);
        cancel();
        answer(value);
      };
    };
    const arm = (): void => {
      cancel();
      cancel = this.#clock.after(rules.longestWaitMs, () => {
        if (isLoading()) return arm();
        waiter.reject(waitedTooLong(model, rules.longestWaitMs, this.#place(ticket)?.estimateMs ?? null));
      });
    };
    const waiter: Waiter = { since: this.#clock.now(), wants, arm, resolve: settle(resolve), reject: settle(reject) };
    const leave = () => waiter.reject(signal.reason);
    signal.addEventListener("abort", leave);
    arm();
    return waiter;
  }

  #place(ticket: number): QueuePlace | null {
    const position = this.#isOpen ? positionOf(this.#queue, ticket) : null;
    return position === null ? null : { position, estimateMs: this.#estimate(position) };
  }

  #estimate(position: number): number | null {
    const slots = this.#openSlots();
    if (!slots) return null;
    return estimateWaitMs(position, { slots: slots.total, averageMs: this.#averageMs, ageMs: slots.ageMs() });
  }

  /** To those whose turn it is, while a slot is free. */
  #serve(): void {
    const slots = this.#openSlots();
    while (slots?.hasFree()) {
      const turn = takeTurn(this.#queue);
      if (!turn) return;
      this.#queue = turn.queue;
      this.#waiters.get(turn.ticket)?.resolve(this.#grant(slots));
    }
  }

  #grant(slots: Slots): Grant {
    this.#busy++;
    return slots.take((heldMs) => {
      this.#busy--;
      this.#lastUsed = this.#clock.now();
      // What a death cut short says nothing of how long answers take.
      if (!slots.target.gone.aborted) this.#averageMs = averageHold(this.#averageMs, heldMs);
      this.#serve();
      if (this.#busy === 0) this.#options.onEmpty();
    });
  }
}
