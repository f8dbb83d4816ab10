/** A cluster of slots in which models are loaded, used and swapped, for whoever schedules them; time jumps from event to event. */
import { decideSwaps } from "../../src/core/swap.ts";
import type { Fits, SwapDecision, SwapModel, SwapRules, SwapWorld } from "../../src/core/swap-types.ts";

export interface SimModel {
  readonly name: string;
  /** Of the cluster's slots. */
  readonly size: number;
  readonly loadMs: number;
  readonly pinned?: boolean;
}

export interface SimRequest {
  readonly at: number;
  readonly model: string;
  readonly serviceMs: number;
}

export interface SimWorld {
  readonly slots: number;
  readonly models: readonly SimModel[];
  readonly requests: readonly SimRequest[];
  readonly rules: SwapRules;
}

export interface Served extends SimRequest {
  readonly startedAt: number;
}

export interface SimResult {
  readonly served: readonly Served[];
  readonly loads: number;
  /** Names of pinned models that were ended. */
  readonly broken: readonly string[];
}

type State =
  | { tag: "absent" | "queued"; since: number }
  | { tag: "loading"; until: number }
  | { tag: "loaded"; since: number; usedAt: number }
  | { tag: "draining"; to: string | null }
  | { tag: "stopping"; until: number };

interface Running {
  readonly model: string;
  readonly until: number;
}

const STOP_MS = 200;
const LIMIT_STEPS = 1_000_000;

/** Runs all requests to their end. Each model answers as many at once as there are. */
export function simulate(world: SimWorld, decide: (world: SwapWorld) => SwapDecision = decideSwaps): SimResult {
  return new Simulation(world, decide).run();
}

class Simulation {
  readonly #world: SimWorld;
  readonly #decide: (world: SwapWorld) => SwapDecision;
  readonly #specs: ReadonlyMap<string, SimModel>;
  readonly #states = new Map<string, State>();
  readonly #arrivals: SimRequest[];
  readonly #waiting: SimRequest[] = [];
  readonly #running = new Set<Running>();
  readonly #served: Served[] = [];
  readonly #broken: string[] = [];
  #loads = 0;
  #now = 0;
  #lookAt: number | null = null;

  constructor(world: SimWorld, decide: (world: SwapWorld) => SwapDecision) {
    this.#world = world;
    this.#decide = decide;
    this.#specs = new Map(world.models.map((model) => [model.name, model]));
    for (const { name } of world.models) this.#states.set(name, { tag: "absent", since: 0 });
    this.#arrivals = world.requests.toSorted((a, b) => a.at - b.at);
  }

  run(): SimResult {
    for (let step = 0; this.#served.length < this.#world.requests.length; step++) {
      if (step > LIMIT_STEPS) throw new Error(`no end: ${JSON.stringify([...this.#states])}`);
      this.#settle();
      const next = this.#nextEvent();
      if (next === null) break;
      this.#now = Math.max(this.#now, next);
    }
    return { served: this.#served, loads: this.#loads, broken: this.#broken };
  }

  /** All that is due now happens, then the scheduler is asked until it has nothing more to say. */
  #settle(): void {
    for (let turn = 0; turn < 100; turn++) {
      this.#pass();
      if (!this.#schedule()) return;
    }
    throw new Error("the scheduler never comes to rest");
  }

  #pass(): void {
    for (const each of [...this.#running]) {
      if (each.until > this.#now) continue;
      this.#running.delete(each);
      const state = this.#states.get(each.model);
      if (state?.tag === "loaded") state.usedAt = each.until;
    }
    while (this.#arrivals[0] && this.#arrivals[0].at <= this.#now) this.#waiting.push(...this.#arrivals.splice(0, 1));
    for (const [name, state] of this.#states) this.#advance(name, state);
    this.#serve();
  }

  #advance(name: string, state: State): void {
    const now = this.#now;
    const isWanted = this.#waiting.some(({ model }) => model === name);
    if (state.tag === "loading" && state.until <= now)
      this.#states.set(name, { tag: "loaded", since: now, usedAt: now });
    if (state.tag === "draining" && !this.#isBusy(name)) {
      this.#states.set(name, { tag: "stopping", until: now + STOP_MS });
    }
    if (state.tag === "stopping" && state.until <= now) this.#states.set(name, { tag: "absent", since: now });
    if (this.#states.get(name)?.tag === "absent" && isWanted) this.#states.set(name, { tag: "queued", since: now });
  }

  #serve(): void {
    for (const request of [...this.#waiting]) {
      if (this.#states.get(request.model)?.tag !== "loaded") continue;
      this.#waiting.splice(this.#waiting.indexOf(request), 1);
      this.#running.add({ model: request.model, until: this.#now + request.serviceMs });
      this.#served.push({ ...request, startedAt: this.#now });
    }
  }

  /** Whether the decision changed anything. */
  #schedule(): boolean {
    const decision = this.#decide({
      now: this.#now,
      models: this.#view(),
      fits: this.#fits,
      rules: this.#world.rules,
    });
    const { leave, stay, turn, hopeless, lookAt } = decision;
    if (hopeless.length > 0) throw new Error(`hopeless: ${JSON.stringify(hopeless)}`);
    this.#lookAt = lookAt;
    for (const { model, to } of leave) this.#end(model, to);
    for (const name of stay) this.#states.set(name, { tag: "loaded", since: this.#now, usedAt: this.#now });
    if (turn !== null) {
      this.#loads++;
      this.#states.set(turn, { tag: "loading", until: this.#now + this.#spec(turn).loadMs });
    }
    return leave.length + stay.length > 0 || turn !== null;
  }

  #end(model: string, to: string | null): void {
    if (this.#spec(model).pinned) this.#broken.push(model);
    this.#states.set(model, { tag: "draining", to });
  }

  #view(): readonly SwapModel[] {
    return [...this.#states].flatMap(([name, state]): readonly SwapModel[] => {
      const pinned = this.#spec(name).pinned ?? false;
      switch (state.tag) {
        case "absent":
          return [];
        case "queued":
          return [{ tag: "queued", name, since: state.since, known: true }];
        case "loaded": {
          const idle = !this.#isBusy(name) && !this.#waiting.some(({ model }) => model === name);
          return [{ ...state, tag: "loaded", name, pinned, idle, keepUntil: null }];
        }
        case "draining":
          return [{ tag: "draining", name, pinned, to: state.to }];
        default:
          return [{ tag: state.tag, name, pinned }];
      }
    });
  }

  readonly #fits: Fits = (models, without) => {
    const held = [...this.#states].filter(([name, { tag }]) => {
      return tag !== "absent" && tag !== "queued" && !without.includes(name) && !models.includes(name);
    });
    const sizes = [...held.map(([name]) => name), ...models].map((name) => this.#spec(name).size);
    return sizes.reduce((sum, size) => sum + size, 0) <= this.#world.slots;
  };

  #isBusy(name: string): boolean {
    return [...this.#running].some(({ model }) => model === name);
  }

  #nextEvent(): number | null {
    const untils = [...this.#states.values()].flatMap((state) => ("until" in state ? [state.until] : []));
    const arrival = this.#arrivals[0];
    const all = [
      ...untils,
      ...[...this.#running].map(({ until }) => until),
      ...(arrival ? [arrival.at] : []),
      ...(this.#lookAt === null ? [] : [this.#lookAt]),
    ].filter((at) => at > this.#now);
    return all.length === 0 ? null : Math.min(...all);
  }

  #spec(name: string): SimModel {
    const spec = this.#specs.get(name);
    if (!spec) throw new Error(`no model ${name}`);
    return spec;
  }
}

/** The greedy to compare with: it sees the queue, and knows nothing of waiting or staying. A model that is loaded answers
 *  all that are queued for it by then; when a swap is needed, it is for the one with the oldest request, and the least
 *  recently used ones go until that fits. */
export function greedily({ now, models, fits }: SwapWorld): SwapDecision {
  const nothing: SwapDecision = { leave: [], stay: [], turn: null, hopeless: [], lookAt: null };
  const [oldest] = models.filter((model) => model.tag === "queued").sort((a, b) => a.since - b.since);
  if (!oldest) return nothing;
  const { name } = oldest;
  if (fits([name], [])) return { ...nothing, turn: name };
  const going = models.filter(({ tag }) => tag === "draining" || tag === "stopping").map((model) => model.name);
  const loaded = models.filter((model) => model.tag === "loaded").filter(({ pinned }) => !pinned);
  const byUse = loaded.toSorted((a, b) => (a.idle ? a.usedAt : now) - (b.idle ? b.usedAt : now));
  const leave: string[] = [];
  for (const other of byUse) {
    if (fits([name], [...going, ...leave])) break;
    leave.push(other.name);
  }
  return { ...nothing, leave: leave.map((model) => ({ model, to: name, why: "" })) };
}
