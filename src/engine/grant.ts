/** The slots of one coordinator, and a request's hold on one of them. */
import type { SynapticError } from "../core/errors.ts";
import type { Clock } from "./ports.ts";

/** A request's hold on a ready coordinator. */
export interface Grant {
  readonly url: string;
  readonly apiKey: string;
  /** To be called when the answer has ended; again does nothing. */
  release(): void;
  /** Why this coordinator has gone, once it has; null when it still runs after a moment. */
  failure(): Promise<SynapticError | null>;
  /** It hangs: no slot of it has worked for too long. It is ended, and the next request starts it anew. */
  suspect(): void;
}

/** The coordinator that lets requests in. */
export interface Target {
  readonly url: string;
  readonly apiKey: string;
  /** Fires when its process has gone; one per process. */
  readonly gone: AbortSignal;
  readonly why: () => SynapticError | null;
  readonly suspect: () => void;
}

/** A dying llama-server closes its connections about 20 ms before it is seen to exit (facts/llamacpp.md c). */
const FAILURE_WAIT_MS = 1_000;

export class Slots {
  readonly target: Target;
  readonly total: number;
  readonly #clock: Clock;
  #taken = 0;
  /** Of the moments at which those that are taken were. */
  #sumOfStarts = 0;

  constructor(clock: Clock, target: Target, total: number) {
    this.#clock = clock;
    this.target = target;
    this.total = total;
  }

  taken(): number {
    return this.#taken;
  }

  hasFree(): boolean {
    return this.#taken < this.total;
  }

  /** For how long those that are taken have been, on average. */
  ageMs(): number {
    return this.#taken === 0 ? 0 : this.#clock.now() - this.#sumOfStarts / this.#taken;
  }

  /** Takes one; `onFree` is told once, when it is given back, for how long it was taken. */
  take(onFree: (heldMs: number) => void): Grant {
    const start = this.#clock.now();
    let held = true;
    this.#taken++;
    this.#sumOfStarts += start;
    return {
      ...this.visit(),
      release: () => {
        if (!held) return;
        held = false;
        this.#taken--;
        this.#sumOfStarts -= start;
        onFree(this.#clock.now() - start);
      },
    };
  }

  /** For who only wants the coordinator to be ready: no slot is taken, and none given back. */
  visit(): Grant {
    const { url, apiKey, suspect } = this.target;
    return { url, apiKey, suspect, release() {}, failure: () => this.#failure() };
  }

  #failure(): Promise<SynapticError | null> {
    const { gone, why } = this.target;
    return new Promise((resolve) => {
      if (gone.aborted) return resolve(why());
      const explain = () => {
        cancel();
        resolve(why());
      };
      const cancel = this.#clock.after(FAILURE_WAIT_MS, () => {
        gone.removeEventListener("abort", explain);
        resolve(null);
      });
      gone.addEventListener("abort", explain, { once: true });
    });
  }
}
