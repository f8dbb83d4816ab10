/** A world for the coordinator's state machine: clients that wait, a child that exits when it likes, late events. */
import { SynapticError } from "../../src/core/errors.ts";
import { deadlineOf, INITIAL, transition } from "../../src/core/lifecycle.ts";
import {
  type Effect,
  LIMITS,
  type Lifecycle,
  type LifecycleEvent,
  type Phase,
} from "../../src/core/lifecycle-types.ts";
import type { Cause } from "../../src/core/llama-failure.ts";
import type { Random } from "../fixtures/random.ts";

/** An event that belongs to a launch. */
type LaunchEvent = Extract<LifecycleEvent, { launch: number }>;

const TIMELY = ["planned", "crowded", "refused", "greeted", "placed", "loaded", "checked", "lost", "drained"] as const;
const NEXT = {
  planning: "planned",
  greeting: "greeted",
  placing: "placed",
  loading: "loaded",
  checking: "checked",
} as const;
const LATE = [...TIMELY, "exited"] as const;

/** What happened in one step, for laws to look at. */
export interface Happening {
  readonly before: Lifecycle;
  readonly event: LifecycleEvent;
  readonly after: Lifecycle;
  readonly effects: readonly Effect[];
  readonly now: number;
}

export class CoordinatorWorld {
  state: Lifecycle = INITIAL;
  now = 1_000_000;
  /** Clients that wait for an answer. */
  waiters = 0;
  /** Launch of the living child. */
  child: number | null = null;
  /** Launch that holds leases. */
  leases: number | null = null;
  /** What the world did that no coordinator may do. */
  readonly crimes: string[] = [];
  readonly #random: Random;
  #dying = false;
  #errors = 0;
  #busy = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Whatever may happen now happens, or something late; returns what came of it. */
  step(): Happening {
    const event = this.#next();
    if (event.tag === "wanted") this.waiters++;
    if (event.tag === "unwanted") this.waiters = 0;
    if (event.tag === "exited" && event.launch === this.child) this.child = null;
    return this.#apply(event);
  }

  /** Lets time pass until nothing is waited for; the child obeys SIGKILL at last. */
  rest(): void {
    for (let turn = 0; turn < 50; turn++) {
      if (this.#dying && this.child !== null) this.#exit();
      const deadline = deadlineOf(this.state);
      if (deadline === null) return;
      this.now = Math.max(this.now, deadline);
      this.#apply({ tag: "tick" });
    }
    this.crimes.push(`never came to rest: ${this.state.tag}`);
  }

  error(): SynapticError {
    return new SynapticError("coordinator_failed", `failure ${++this.#errors}`);
  }

  #exit(): void {
    const launch = this.child;
    this.child = null;
    if (launch !== null) this.#apply({ tag: "exited", launch, cause: this.#cause() });
  }

  #cause(): Cause {
    const again = this.#random.next() < 0.4;
    return { error: this.error(), endpoint: again ? "10.0.0.1:50052" : null, again };
  }

  #next(): LifecycleEvent {
    const { launch } = this.state;
    const chance = this.#random.next();
    if (chance < 0.25) return { tag: "wanted" };
    if (chance < 0.28) return { tag: "unload" };
    if (chance < 0.283) return { tag: "close" };
    if (chance < 0.3) return { tag: "unwanted" };
    if (chance < (this.state.tag === "ready" ? 0.4 : 0.31)) {
      return { tag: "yield", to: "another" };
    }
    if (chance < 0.32) return { tag: "stay" };
    if (chance < 0.41) return this.#late();
    if (chance < 0.55) return this.#tick();
    if (this.state.tag === "starting" && this.#random.next() < 0.5) return this.#progress(this.state.phase);
    if (this.child !== null && this.#random.next() < (this.#dying ? 0.5 : 0.1)) {
      return { tag: "exited", launch: this.child, cause: this.#cause() };
    }
    const tag = this.#random.pick(TIMELY);
    return this.#possible(tag, launch) ?? { tag: "wanted" };
  }

  /** Of the launch under way, only what its child or its plan can say by now. */
  #possible(tag: LaunchEvent["tag"], launch: number): LifecycleEvent | null {
    const { state } = this;
    const planning = state.tag === "starting" && state.phase === "planning";
    if (tag === "drained") return this.#busy === 0 ? { tag, launch } : null;
    if (tag === "planned" || tag === "crowded" || tag === "refused") return planning ? this.#event(tag, launch) : null;
    return this.child === null ? null : this.#event(tag, launch);
  }

  /** What comes next when all goes well. */
  #progress(phase: Phase): LifecycleEvent {
    return phase === "queued" ? { tag: "turn" } : this.#event(NEXT[phase], this.state.launch);
  }

  #late(): LifecycleEvent {
    const tag = this.#random.pick(LATE);
    return this.#event(tag, this.state.launch - this.#random.whole(1, 3));
  }

  #tick(): LifecycleEvent {
    const deadline = deadlineOf(this.state);
    const late = this.#random.next() < 0.5;
    this.now += late && deadline !== null ? Math.max(0, deadline - this.now) : this.#random.whole(0, 2_000);
    return { tag: "tick" };
  }

  #event(tag: LaunchEvent["tag"], launch: number): LaunchEvent {
    switch (tag) {
      case "planned":
      case "crowded":
      case "loaded":
      case "drained":
        return { tag, launch };
      case "greeted":
        return { tag, launch, placeMs: 20_000 };
      case "placed":
        return { tag, launch, loadMs: 60_000 };
      case "checked":
        return { tag, launch, error: this.#random.next() < 0.3 ? this.error() : null };
      case "refused":
      case "lost":
        return { tag, launch, error: this.error() };
      case "exited":
        return { tag, launch, cause: this.#cause() };
    }
  }

  #apply(event: LifecycleEvent): Happening {
    const before = this.state;
    const [after, effects] = transition(before, event, this.now, LIMITS);
    this.state = after;
    if (event.tag === "planned" && after !== before) this.leases = after.launch;
    for (const effect of effects) this.#carryOut(effect);
    if (after.tag === "ready") this.#busy = this.#random.whole(0, 1);
    return { before, event, after, effects, now: this.now };
  }

  #carryOut({ tag }: Effect): void {
    switch (tag) {
      case "grant":
        if (this.state.tag !== "ready" || this.child !== this.state.launch) this.crimes.push("granted without a child");
        this.waiters = 0;
        break;
      case "reject":
        this.waiters = 0;
        break;
      case "plan":
        if (this.leases !== null) this.crimes.push("planned while leases are held");
        break;
      case "spawn":
        if (this.child !== null) this.crimes.push(`spawned while the child of launch ${this.child} lives`);
        if (this.leases !== this.state.launch) this.crimes.push("spawned without leases");
        this.child = this.state.launch;
        this.#dying = false;
        break;
      case "terminate":
      case "kill":
        // SIGTERM is ignored while a backend hangs.
        if (tag === "kill" || this.#random.next() < 0.5) this.#dying = true;
        break;
      case "release":
        if (this.child !== null) this.crimes.push("released leases that a living child uses");
        this.leases = null;
        break;
      case "check":
      case "blame":
        break;
    }
  }
}
