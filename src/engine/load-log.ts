/** What one llama-server printed: its last lines, how far its load is, and what it put where. */
import { parseLogLine } from "../core/llama-log.ts";
import type { Proof } from "../core/proof.ts";
import { NOTHING_OBSERVED, type Observations, observe } from "../core/proof-observe.ts";
import type { Clock } from "./ports.ts";

const KEPT_LINES = 200;
/** Lines come through a pipe and a thread of llama-server's own: they may be under way when `/health` answers already. */
const LINES_WAIT_MS = 1_000;

export class LoadLog {
  readonly #clock: Clock;
  #lines: string[] = [];
  #seen: Observations = NOTHING_OBSERVED;
  #progress: number | null = null;
  #loading = true;
  #nextLine = Promise.withResolvers<void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  take(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
    if (!this.#loading) return;
    const event = parseLogLine(line);
    if (event?.tag === "progress") this.#progress = event.progress;
    else if (event) this.#seen = observe(this.#seen, event);
    this.#nextLine.resolve();
    this.#nextLine = Promise.withResolvers();
  }

  /** 0..1; null until it says. */
  progress(): number | null {
    return this.#progress;
  }

  /** It has told of its buffers: it does so once it has all of those for the weights. */
  isPlaced(): boolean {
    return this.#seen.buffers.size > 0;
  }

  /** The last lines: of the load, and once that is over, those since. */
  lines(): readonly string[] {
    return this.#lines;
  }

  /** The first proof that holds, or after a moment the one that does not. */
  async settle(prove: (seen: Observations) => Proof): Promise<Proof> {
    let late = false;
    const deadline = Promise.withResolvers<void>();
    const cancel = this.#clock.after(LINES_WAIT_MS, () => {
      late = true;
      deadline.resolve();
    });
    let proof = prove(this.#seen);
    while (!proof.proven && !late) {
      await Promise.race([this.#nextLine.promise, deadline.promise]);
      proof = prove(this.#seen);
    }
    cancel();
    return proof;
  }

  /** What was printed so far explains no later exit, and what comes now is no load's. */
  endLoad(): void {
    this.#loading = false;
    this.#lines = [];
  }
}
