/** Runs a coordinator's state machine: one event at a time, in order, and its deadline as a timer. */
import { deadlineOf, INITIAL, transition } from "../core/lifecycle.ts";
import type { Effect, Lifecycle, LifecycleEvent } from "../core/lifecycle-types.ts";
import type { Clock } from "./ports.ts";

export interface LifeStep {
  readonly before: Lifecycle;
  readonly event: LifecycleEvent;
  readonly effects: readonly Effect[];
}

export interface LifeListener {
  /** After each transition, to carry out its effects; events that they send come next. Must not throw. */
  readonly onStep: (step: LifeStep) => void;
  /** When all events are done and the state is another one. Must not throw. */
  readonly onChange: () => void;
}

export class Life {
  readonly #clock: Clock;
  readonly #listener: LifeListener;
  readonly #events: LifecycleEvent[] = [];
  #state: Lifecycle = INITIAL;
  #cancelTimer = () => {};
  #stepping = false;

  constructor(clock: Clock, listener: LifeListener) {
    this.#clock = clock;
    this.#listener = listener;
  }

  get state(): Lifecycle {
    return this.#state;
  }

  /** The only way the state changes. */
  send(event: LifecycleEvent): void {
    this.#events.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    const first = this.#state;
    try {
      for (let next = this.#events.shift(); next; next = this.#events.shift()) this.#step(next);
    } finally {
      this.#stepping = false;
    }
    if (this.#state !== first) this.#listener.onChange();
  }

  #step(event: LifecycleEvent): void {
    const before = this.#state;
    const [state, effects] = transition(before, event, this.#clock.now());
    this.#state = state;
    this.#armTimer();
    this.#listener.onStep({ before, event, effects });
  }

  #armTimer(): void {
    this.#cancelTimer();
    const deadline = deadlineOf(this.#state);
    if (deadline === null) return;
    const wait = Math.max(0, deadline - this.#clock.now());
    this.#cancelTimer = this.#clock.after(wait, () => this.send({ tag: "tick" }));
  }
}
