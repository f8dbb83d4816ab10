/** The health of all backends over time: probes them side by side, leases them to coordinators, and tells of changes. */
import { isNews, viewBackend } from "../core/backend-view.ts";
import { SynapticError } from "../core/errors.ts";
import {
  applyEngine,
  applyLease,
  applyLoss,
  applyProbe,
  applyRelease,
  type Health,
  type HealthRules,
  holderOf,
  isSuspect,
  probeFor,
  reasonOf,
  unknownHealth,
} from "../core/health.ts";
import type { EngineProtocol } from "../core/rpc.ts";
import type { BackendSnapshot } from "../core/snapshot.ts";
import type { Speed } from "../core/speed.ts";
import type { Endpoint } from "../core/units.ts";
import { type BackendAnnouncer, createAnnouncer } from "./backend-log.ts";
import { createLease, type Lease } from "./lease.ts";
import type { Clock, Logger, RpcPort } from "./ports.ts";

export interface MonitorPorts extends RpcPort {
  readonly clock: Clock;
  readonly log: Logger;
}

export interface MonitorOptions {
  readonly backends: readonly Endpoint[];
  /** From the end of one probe of a backend to the start of its next. */
  readonly intervalMs: number;
  readonly failures: number;
  readonly successes: number;
  /** For one probe. */
  readonly timeoutMs: number;
  /** What is known of a backend that answered with these devices. */
  readonly speedOf?: (backend: BackendSnapshot) => Speed | null;
}

export type BackendListener = (backends: readonly BackendSnapshot[]) => void;

interface Entry {
  readonly endpoint: Endpoint;
  health: Health;
  /** Resolved address and port, claimed by this entry. */
  address: Endpoint | null;
  probing: Promise<void> | null;
  cancelNext: () => void;
  /** Null when it has changed since somebody looked. */
  view: BackendSnapshot | null;
  readonly announce: BackendAnnouncer;
}

/** Creates a monitor that does nothing until `start()`. */
export function createMonitor(ports: MonitorPorts, options: MonitorOptions): Monitor {
  return new Monitor(ports, options);
}

/** The only writer of backend health. */
export class Monitor {
  readonly #ports: MonitorPorts;
  readonly #options: MonitorOptions;
  readonly #entries: ReadonlyMap<Endpoint, Entry>;
  readonly #stopping = new AbortController();
  readonly #first = Promise.withResolvers<void>();
  readonly #listeners = new Set<BackendListener>();
  readonly #leases = new Set<Lease>();
  /** By resolved address. */
  readonly #owners = new Map<Endpoint, Entry>();
  #engine: EngineProtocol | null = null;
  /** Null when something has changed since: with many backends each probe changes something, and few look. */
  #snapshot: readonly BackendSnapshot[] | null = null;

  constructor(ports: MonitorPorts, options: MonitorOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#entries = new Map(options.backends.map((endpoint) => [endpoint, newEntry(endpoint, ports)]));
  }

  /** Settles once every backend has been probed, or `stop()` was called. */
  get firstRound(): Promise<void> {
    return this.#first.promise;
  }

  /** Probes all backends at once, and from then on each every `intervalMs`. */
  start(): void {
    void this.refresh().then(this.#first.resolve);
  }

  /**
   * Probes now those that nobody of ours holds (all, unless named), or joins a probe under way. One that was up and fails
   * is asked again at once until it answers or is down, so that a plan made next has no dead backend in it.
   */
  async refresh(endpoints: readonly Endpoint[] = this.#options.backends): Promise<void> {
    await Promise.all(endpoints.map((endpoint) => this.#decide(this.#entry(endpoint))));
  }

  /**
   * Takes all of these backends for the coordinator of `holder` once no probe of ours is under way there.
   * @throws SynapticError `no_backends` when one is not up; then none is taken. `shutting_down` after `stop()`.
   */
  async lease(endpoints: readonly Endpoint[], holder: string): Promise<Lease> {
    const wanted = endpoints.map((endpoint) => this.#entry(endpoint));
    // The interval may start a new probe of one while that of another ends, so look again.
    while (wanted.some((entry) => entry.probing)) await Promise.all(wanted.map((entry) => entry.probing));
    if (this.#stopping.signal.aborted) {
      throw new SynapticError("shutting_down", `Cannot lease backends for ${holder}: synaptic is stopping`);
    }
    const taken = wanted.map((entry) => ({ entry, health: leased(entry, holder, this.#ports.clock.now()) }));
    for (const { entry, health } of taken) this.#write(entry, health);
    const lease = createLease(this.#ports, {
      endpoints,
      holder,
      timeoutMs: this.#options.timeoutMs,
      onLost: (endpoint, reason) => this.reportLost(endpoint, reason),
      onRelease: () => {
        this.#leases.delete(lease);
        for (const entry of wanted) this.#letGo(entry);
      },
    });
    this.#leases.add(lease);
    return lease;
  }

  /** A coordinator or a sentinel saw it die: down at once, and not probed until its lease is released. */
  reportLost(endpoint: Endpoint, reason: string): void {
    const entry = this.#entry(endpoint);
    this.#write(entry, applyLoss(entry.health, reason, this.#ports.clock.now()));
  }

  /** What our llama-server speaks; what backends answered last is judged again at once. */
  setEngineProtocol(protocol: EngineProtocol | null): void {
    this.#engine = protocol;
    for (const entry of this.#entries.values()) this.#write(entry, applyEngine(entry.health, this.#rules(entry)));
    this.showSpeeds();
  }

  /** To be called when more, or something else, is known of the backends' speeds. */
  showSpeeds(): void {
    for (const entry of this.#entries.values()) entry.view = null;
    this.#snapshot = null;
  }

  snapshot(): readonly BackendSnapshot[] {
    this.#snapshot ??= Object.freeze([...this.#entries.values()].map((entry) => this.#view(entry)));
    return this.#snapshot;
  }

  /** Calls back after each change of a state, reason or lease; what it returns ends that. */
  subscribe(listener: BackendListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Gives up probes and leases; settles when no connection of ours is left. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const lease of this.#leases) lease.release();
    for (const entry of this.#entries.values()) entry.cancelNext();
    await Promise.all([...this.#entries.values()].map((entry) => entry.probing));
    this.#first.resolve();
  }

  async #decide(entry: Entry): Promise<void> {
    do await this.#probe(entry);
    while (isSuspect(entry.health) && !this.#stopping.signal.aborted);
  }

  #probe(entry: Entry): Promise<void> {
    if (this.#stopping.signal.aborted || probeFor(entry.health) === "none") return Promise.resolve();
    entry.cancelNext();
    entry.probing ??= this.#runProbe(entry);
    return entry.probing;
  }

  async #runProbe(entry: Entry): Promise<void> {
    const { signal } = this.#stopping;
    const { intervalMs, timeoutMs } = this.#options;
    const claim = (address: Endpoint) => this.#claim(entry, address);
    const result = await this.#ports.probe(entry.endpoint, { timeoutMs, signal, claim });
    entry.probing = null;
    this.#write(entry, applyProbe(entry.health, result, this.#rules(entry)));
    if (!signal.aborted) entry.cancelNext = this.#ports.clock.after(intervalMs, () => void this.#probe(entry));
  }

  /** Two entries may lead to one rpc-server, which serves one connection: the first to get there keeps it. */
  #claim(entry: Entry, address: Endpoint): Endpoint {
    const owner = this.#owners.get(address);
    if (owner && owner !== entry) return owner.endpoint;
    if (entry.address !== null && entry.address !== address) this.#owners.delete(entry.address);
    this.#owners.set(address, entry);
    entry.address = address;
    return entry.endpoint;
  }

  #letGo(entry: Entry): void {
    this.#write(entry, applyRelease(entry.health, this.#ports.clock.now()));
    void this.#probe(entry);
  }

  #write(entry: Entry, health: Health): void {
    if (health === entry.health) return;
    const before = entry.health;
    entry.health = health;
    entry.view = null;
    this.#snapshot = null;
    entry.announce(health, this.#engine);
    if (isNews(before, health)) for (const listener of this.#listeners) listener(this.snapshot());
  }

  #view(entry: Entry): BackendSnapshot {
    if (entry.view) return entry.view;
    const view = viewBackend(entry.endpoint, entry.health, entry.address);
    const speed = view.devices.length > 0 ? this.#options.speedOf?.(view) : null;
    entry.view = speed ? Object.freeze({ ...view, speed }) : view;
    return entry.view;
  }

  #rules(entry: Entry): HealthRules {
    const { failures, successes } = this.#options;
    return { nowMs: this.#ports.clock.now(), failures, successes, engine: this.#engine, endpoint: entry.endpoint };
  }

  #entry(endpoint: Endpoint): Entry {
    const entry = this.#entries.get(endpoint);
    if (entry) return entry;
    throw new SynapticError("no_backends", `Cannot use ${endpoint}: it is not among the configured backends`);
  }
}

function newEntry(endpoint: Endpoint, { clock, log }: MonitorPorts): Entry {
  const health = unknownHealth(clock.now());
  const announce = createAnnouncer(log, endpoint);
  return { endpoint, health, address: null, probing: null, cancelNext: () => {}, view: null, announce };
}

function leased(entry: Entry, holder: string, nowMs: number): Health {
  const health = applyLease(entry.health, holder, nowMs);
  if (health) return health;
  const by = holderOf(entry.health);
  const state = isSuspect(entry.health) ? "it failed its last probe" : `it is ${entry.health.tag}`;
  const why = by === null ? reasonOf(entry.health) || state : `${by} holds it`;
  throw new SynapticError("no_backends", `Cannot lease ${entry.endpoint} for ${holder}: ${why}`, {
    hint: "see `synaptic backends`",
  });
}
