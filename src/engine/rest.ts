/** Who waits for a coordinator to come to rest. */
import type { SynapticError } from "../core/errors.ts";

/** Everybody is answered exactly once, by the next of `resolve` and `reject`. */
export class Rest {
  #waiting = Promise.withResolvers<void>();

  wait(): Promise<void> {
    return this.#waiting.promise;
  }

  resolve(): void {
    this.#renew().resolve();
  }

  reject(error: SynapticError): void {
    const { promise, reject } = this.#renew();
    // It need not be waited for.
    promise.catch(() => {});
    reject(error);
  }

  #renew(): PromiseWithResolvers<void> {
    const current = this.#waiting;
    this.#waiting = Promise.withResolvers();
    return current;
  }
}
