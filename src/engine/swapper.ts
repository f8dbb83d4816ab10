/** Carries out what `core/swap` decides: gives turns to load, ends models and lets them drain, and says why. */
import { decideSwaps } from "../core/swap.ts";
import type { Fits, SwapDecision, SwapModel, SwapRules } from "../core/swap-types.ts";
import type { Clock, Logger } from "./ports.ts";
import type { Supervisor } from "./supervisor.ts";

export interface SwapperOptions {
  readonly coordinators: ReadonlyMap<string, Supervisor>;
  readonly rules: SwapRules;
  /** From what was last seen of the backends. */
  readonly fits: Fits;
  /** Whether a model's header has been read. */
  readonly isKnown: (model: string) => boolean;
  /** False while a backend has not said yet what it is: its room must not be taken for lost. */
  readonly isSettled: () => boolean;
}

/** What holds for a model that has the turn. `hopeless`: it would not fit even if all went that may, but would without
 *  these pinned ones; an empty list when nothing helps. */
export type Verdict =
  | { readonly tag: "now" }
  | { readonly tag: "later" }
  | { readonly tag: "hopeless"; readonly pinned: readonly string[] };

export class Swapper {
  readonly #ports: { readonly clock: Clock; readonly log: Logger };
  readonly #options: SwapperOptions;
  /** Models of which the log says already that they wait. */
  readonly #told = new Set<string>();
  #cancelTimer = () => {};
  #isStale = false;
  #isLooking = false;
  #isClosed = false;

  constructor(ports: { readonly clock: Clock; readonly log: Logger }, options: SwapperOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  /** Something has changed, and may be decided about. What it does itself is looked at again before it returns. */
  look(): void {
    this.#isStale = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      while (this.#isStale && !this.#isClosed) {
        this.#isStale = false;
        this.#decide();
      }
    } finally {
      this.#isLooking = false;
    }
  }

  /** To be asked by the one that has the turn, once backends have been probed anew. */
  verdict(model: string): Verdict {
    const { turn, hopeless } = this.#decision(this.#models());
    if (turn === model) return { tag: "now" };
    const refused = hopeless.find((each) => each.model === model);
    return refused ? { tag: "hopeless", pinned: refused.pinned } : { tag: "later" };
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTimer();
  }

  #decide(): void {
    this.#cancelTimer();
    const models = this.#models();
    const queued = models.filter(({ tag }) => tag === "queued");
    for (const name of this.#told) if (!queued.some((model) => model.name === name)) this.#told.delete(name);
    // Its lease changes what is free: the end of its turn is looked at again.
    for (const coordinator of this.#options.coordinators.values()) if (coordinator.isPlanning()) return;
    // And so is every change of a backend.
    if (queued.length > 0 && !this.#options.isSettled()) return;
    const decision = this.#decision(models);
    this.#apply(decision);
    this.#tell(models, decision);
  }

  #models(): readonly SwapModel[] {
    return [...this.#options.coordinators].flatMap(([name, coordinator]) => {
      return coordinator.swapView(this.#options.isKnown(name)) ?? [];
    });
  }

  #decision(models: readonly SwapModel[]): SwapDecision {
    const { rules, fits } = this.#options;
    return decideSwaps({ now: this.#ports.clock.now(), models, fits: remembered(fits), rules });
  }

  #apply({ leave, stay, turn, hopeless, lookAt }: SwapDecision): void {
    const { clock, log } = this.#ports;
    const { coordinators } = this.#options;
    if (lookAt !== null) this.#cancelTimer = clock.after(Math.max(0, lookAt - clock.now()), () => this.look());
    for (const { model, to, why } of leave) {
      log.info(why);
      const coordinator = coordinators.get(model);
      if (to !== null) coordinator?.makeRoom(to);
      // A request that comes in between keeps it: no harm.
      else coordinator?.unload().catch(() => {});
    }
    for (const model of stay) {
      log.info(`${model} goes on: its room is not needed any more`);
      coordinators.get(model)?.stay();
    }
    // Without hope by what was last seen: it is planned, so that what is seen now decides.
    const next = turn ?? hopeless[0]?.model;
    if (next !== undefined) coordinators.get(next)?.takeTurn();
  }

  /** Says of each that has to wait for others, once, for whom. */
  #tell(models: readonly SwapModel[], { leave, turn, hopeless }: SwapDecision): void {
    const holders = models.filter(({ tag }) => tag !== "queued").map(({ name }) => name);
    // Whose turn it is may be in the way of the next, once it is known where it goes.
    if (turn !== null || hopeless.length > 0 || holders.length === 0) return;
    for (const model of models) {
      const isServed = leave.some(({ to }) => to === model.name);
      if (model.tag !== "queued" || isServed || this.#told.has(model.name)) continue;
      this.#told.add(model.name);
      this.#ports.log.info(`${model.name} waits for room: ${holders.join(", ")} in use`);
    }
  }
}

/** Within one decision the same is asked more than once, and each answer is a plan. */
function remembered(fits: Fits): Fits {
  const known = new Map<string, boolean>();
  return (models, without) => {
    const key = JSON.stringify([models, [...without].sort()]);
    const answer = known.get(key) ?? fits(models, without);
    known.set(key, answer);
    return answer;
  };
}
