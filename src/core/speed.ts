/** How fast a device generates, as measured or as its kind has it. Types only. */

export interface Speed {
  /** Bytes of weights gone through per second while one stream generates: a token takes (bytes of its layers) / this. */
  readonly bytesPerSecond: number;
  /** The llama-server that measured it, such as `0.7.0 (11669)`: another build is another speed. */
  readonly build: string;
  /** ISO 8601. */
  readonly measuredAt: string;
}

/** One measurement with the timing model. */
export interface Timing extends Speed {
  /** Of the timing model, with all that a token costs beside its weights. */
  readonly tokensPerSecond: number;
}
