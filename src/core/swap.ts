/** Whose turn it is to load, and who makes room: swaps without thrash. Pure. Requests for one model are served together
 *  as long as nobody has waited too long for another; then a model in use lets its running answers end and goes. */
import type { Fits, Leave, LoadedModel, SwapDecision, SwapModel, SwapWorld } from "./swap-types.ts";
import { fewest } from "./swap-victims.ts";
import { formatDuration } from "./units.ts";

type Queued = Extract<SwapModel, { tag: "queued" }>;

/** What is to be done now. To be asked again after every change, and at `lookAt`. */
export function decideSwaps(world: SwapWorld): SwapDecision {
  const stay = world.models.filter((model) => model.tag === "draining" && isInVain(model.to, world)).map(nameOf);
  // Those are as good as loaded again: what follows from that is decided once they are.
  if (stay.length > 0) return { leave: [], stay, turn: null, hopeless: [], lookAt: world.now };
  const round = new Round(world);
  round.endExpired();
  const queued = world.models.filter((model) => model.tag === "queued").sort((a, b) => a.since - b.since);
  for (const model of queued) if (round.turn === null) round.serve(model);
  return round.decision();
}

function nameOf({ name }: SwapModel): string {
  return name;
}

/** Whether the one that room is made for has found it elsewhere, or is waited for no longer. */
function isInVain(to: string | null, { models }: SwapWorld): boolean {
  return to !== null && !models.some(({ tag, name }) => tag === "queued" && name === to);
}

/** One pass over all that wait, the oldest first. */
class Round {
  readonly #world: SwapWorld;
  readonly #leave: Leave[] = [];
  readonly #hopeless: SwapDecision["hopeless"][number][] = [];
  #lookAt: number | null = null;
  turn: string | null = null;
  /** Older ones that room is being made for, in order: whoever is younger must leave them theirs. */
  readonly #promised: string[] = [];
  /** What the promised ones count on to go. */
  readonly #leaving: Set<string>;
  /** Of these, what goes within seconds. */
  readonly #ending: Set<string>;

  constructor(world: SwapWorld) {
    this.#world = world;
    const tagged = (...tags: readonly SwapModel["tag"][]) =>
      world.models.filter(({ tag }) => tags.includes(tag)).map(nameOf);
    this.#leaving = new Set(tagged("draining", "stopping"));
    this.#ending = new Set(tagged("stopping"));
  }

  decision(): SwapDecision {
    return { leave: this.#leave, stay: [], turn: this.turn, hopeless: this.#hopeless, lookAt: this.#lookAt };
  }

  endExpired(): void {
    const { now } = this.#world;
    for (const { name, pinned, idle, keepUntil, usedAt } of this.#loaded()) {
      if (pinned || !idle || keepUntil === null) continue;
      if (now < keepUntil) this.#lookLater(keepUntil);
      else this.#end(name, null, `unloading ${name}: not used for ${formatDuration(now - usedAt)}`);
    }
  }

  /** Finds room for one that waits: what is free, what is about to be, what idle ones hold, and in the end what is in use. */
  serve(model: Queued): void {
    const { name } = model;
    // Only a look at its header tells.
    if (!model.known) this.turn = name;
    else if (this.#isHopeless(name)) return;
    else if (this.#fits([name], []) && this.#leavesRoom(name, [])) this.turn = name;
    else if (this.#fits([name], [...this.#ending]) && this.#leavesRoom(name, [])) this.#promised.push(name);
    else if (this.#endIdle(model) || this.#waitsForDrains(name)) this.#promised.push(name);
    else this.#drainOrWait(model);
  }

  /** Even the room of all that may go is too little: asked to be sure, it is refused. */
  #isHopeless(model: string): boolean {
    const holders = this.#world.models.filter((other) => other.tag !== "queued");
    const movable = holders.filter(({ pinned }) => !pinned).map(nameOf);
    if (this.#fits([model], movable)) return false;
    const pins = holders.filter(({ pinned }) => pinned).map(nameOf);
    const pinned = fewest(pins, (some) => this.#fits([model], [...movable, ...some])) ?? [];
    this.#hopeless.push({ model, pinned });
    return true;
  }

  /** Whether those before it still find the room promised to them. */
  #leavesRoom(model: string, more: readonly string[]): boolean {
    if (this.#promised.length === 0) return true;
    return this.#fits([model, ...this.#promised], [...this.#leaving, ...more]);
  }

  #endIdle(model: Queued): boolean {
    const candidates = this.#candidates();
    const unused = candidates.filter((other) => !this.#isInUse(other));
    const chosen = fewest(unused.map(nameOf), (some) => {
      return this.#fits([model.name], [...this.#ending, ...some]) && this.#leavesRoom(model.name, some);
    });
    if (!chosen) {
      for (const { idle, usedAt } of candidates) if (idle) this.#lookLater(usedAt + this.#world.rules.lingerMs);
      return false;
    }
    for (const name of chosen) this.#end(name, model.name, `unloading ${name} to make room for ${model.name}`);
    return true;
  }

  #waitsForDrains(model: string): boolean {
    return this.#fits([...this.#promised, model], [...this.#leaving]);
  }

  #drainOrWait(model: Queued): void {
    const { now, rules } = this.#world;
    if (!this.#isOverdue(model)) {
      this.#lookLater(model.since + rules.longestWaitMs);
      return;
    }
    const candidates = this.#candidates();
    const movable = candidates.filter((other) => !this.#isInUse(other) || now >= other.since + rules.leastResidencyMs);
    const chosen = fewest(movable.map(nameOf), (some) => {
      return this.#fits([...this.#promised, model.name], [...this.#leaving, ...some]);
    });
    this.#promised.push(model.name);
    if (chosen) {
      const waited = formatDuration(now - model.since);
      for (const name of chosen) this.#drain(name, model.name, `draining ${name}: ${model.name} has waited ${waited}`);
      return;
    }
    // Whatever it will get the room of, none that is younger may take it meanwhile.
    for (const { name, since } of candidates) {
      this.#leaving.add(name);
      this.#lookLater(since + rules.leastResidencyMs);
    }
    for (const other of this.#world.models) if (other.tag === "loading" && !other.pinned) this.#leaving.add(other.name);
  }

  #isInUse({ idle, usedAt }: LoadedModel): boolean {
    return !idle || this.#world.now < usedAt + this.#world.rules.lingerMs;
  }

  #isOverdue({ since }: Queued): boolean {
    return this.#world.now >= since + this.#world.rules.longestWaitMs;
  }

  /** Those that may be asked to go, in that order: idle ones first, the longest unused of them, then the longest loaded. */
  #candidates(): readonly LoadedModel[] {
    const staying = this.#loaded().filter(({ name, pinned }) => !pinned && !this.#leaving.has(name));
    const age = ({ idle, usedAt, since }: LoadedModel) => (idle ? usedAt : since);
    return staying.sort((a, b) => Number(b.idle) - Number(a.idle) || age(a) - age(b));
  }

  #loaded(): LoadedModel[] {
    return this.#world.models.filter((model) => model.tag === "loaded");
  }

  #end(name: string, to: string | null, why: string): void {
    this.#ending.add(name);
    this.#drain(name, to, why);
  }

  #drain(name: string, to: string | null, why: string): void {
    this.#leaving.add(name);
    this.#leave.push({ model: name, to, why });
  }

  #lookLater(at: number): void {
    if (at > this.#world.now) this.#lookAt = Math.min(this.#lookAt ?? at, at);
  }

  readonly #fits: Fits = (models, without) => this.#world.fits(models, without);
}
