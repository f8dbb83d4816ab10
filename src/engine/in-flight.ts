/** How many requests are answered or wait at one time, over all models; each holds memory for its body and its answer. */

export class InFlight {
  readonly limit: number;
  #count = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  count(): number {
    return this.#count;
  }

  /** Counts one more until the function that it returns is called, again without effect; null when the server is full. */
  enter(): (() => void) | null {
    if (this.#count >= this.limit) return null;
    this.#count++;
    let counted = true;
    return () => {
      if (counted) this.#count--;
      counted = false;
    };
  }
}
