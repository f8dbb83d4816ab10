/** Who waits for a coordinator and who uses it. */
import type { SynapticError } from "../core/errors.ts";
import type { CoordinatorSnapshot } from "../core/snapshot.ts";
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
  /** Fires when its process has gone. */
  readonly gone: AbortSignal;
  readonly why: () => SynapticError | null;
  readonly suspect: () => void;
}

/** A dying llama-server closes its connections about 20 ms before it is seen to exit (facts/llamacpp.md c). */
const FAILURE_WAIT_MS = 1_000;

export interface Admission {
  /** Resolves at the next `grantAll`, rejects at the next `rejectAll` or when the signal fires. */
  wait(signal: AbortSignal): Promise<Grant>;
  grantAll(target: Target): void;
  rejectAll(error: SynapticError): void;
  /** Requests that hold a grant. */
  busy(): number;
  waiting(): number;
  /** For the snapshot, of a coordinator with so many slots. */
  load(slots: number): Pick<CoordinatorSnapshot, "slots" | "queue">;
  /** When a grant was last given back. */
  lastUsed(): number;
}

interface Waiter {
  readonly since: number;
  readonly resolve: (grant: Grant) => void;
  readonly reject: (error: unknown) => void;
}

/** Every waiter is answered exactly once: by a grant, an error, or its own signal. */
export function createAdmission(clock: Clock, onEmpty: () => void): Admission {
  const waiters = new Set<Waiter>();
  let busy = 0;
  let used = clock.now();

  const grant = (target: Target): Grant => {
    let held = true;
    busy++;
    const { url, apiKey, gone, why, suspect } = target;
    return {
      url,
      apiKey,
      suspect,
      failure: () =>
        new Promise((resolve) => {
          if (gone.aborted) return resolve(why());
          const explain = () => {
            cancel();
            resolve(why());
          };
          const cancel = clock.after(FAILURE_WAIT_MS, () => {
            gone.removeEventListener("abort", explain);
            resolve(null);
          });
          gone.addEventListener("abort", explain, { once: true });
        }),
      release() {
        if (!held) return;
        held = false;
        busy--;
        used = clock.now();
        if (busy === 0) onEmpty();
      },
    };
  };

  return {
    wait(signal) {
      return new Promise((resolve, reject) => {
        const settle = <T>(answer: (value: T) => void) => {
          return (value: T) => {
            waiters.delete(waiter);
            signal.removeEventListener("abort", leave);
            answer(value);
          };
        };
        const waiter: Waiter = { since: clock.now(), resolve: settle(resolve), reject: settle(reject) };
        const leave = () => waiter.reject(signal.reason);
        if (signal.aborted) return reject(signal.reason);
        signal.addEventListener("abort", leave);
        waiters.add(waiter);
      });
    },
    grantAll(target) {
      for (const waiter of [...waiters]) waiter.resolve(grant(target));
    },
    rejectAll(error) {
      for (const waiter of [...waiters]) waiter.reject(error);
    },
    busy: () => busy,
    waiting: () => waiters.size,
    load(slots) {
      const oldest = waiters.values().next().value?.since;
      return {
        slots: { total: slots, busy: Math.min(slots, busy) },
        queue: {
          length: waiters.size + Math.max(0, busy - slots),
          oldestMs: oldest === undefined ? null : clock.now() - oldest,
        },
      };
    },
    lastUsed: () => used,
  };
}
