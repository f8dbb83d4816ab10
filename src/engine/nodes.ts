/** The Ollama nodes over time: polls them side by side, the dead ones less and less often, and tells of changes. */
import { applyPoll, isSuspectNode, type NodeHealth, pauseAfter, unknownNode, viewNode } from "../core/node.ts";
import type { NodeSnapshot } from "../core/snapshot.ts";
import type { Clock, Logger, OllamaPort } from "./ports.ts";

export interface NodesPorts {
  readonly ollama: OllamaPort;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface NodesOptions {
  readonly nodes: readonly {
    readonly url: string /** Nobody named it: not there until it answers. */;
    readonly implied?: boolean;
  }[];
  /** From the end of one poll of a node to the start of its next. */
  readonly intervalMs: number;
  readonly failures: number;
  readonly successes: number;
  /** For one poll. */
  readonly timeoutMs: number;
}

export type NodeListener = (nodes: readonly NodeSnapshot[]) => void;

interface Entry {
  readonly url: string;
  readonly implied: boolean;
  health: NodeHealth;
  polling: Promise<void> | null;
  cancelNext: () => void;
  view: NodeSnapshot;
  /** Requests of ours. */
  inFlight: number;
}

/** The only writer of what is known of nodes. */
export class Nodes {
  readonly #ports: NodesPorts;
  readonly #options: NodesOptions;
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #stopping = new AbortController();
  readonly #first = Promise.withResolvers<void>();
  readonly #listeners = new Set<NodeListener>();
  #snapshot: readonly NodeSnapshot[];

  constructor(ports: NodesPorts, options: NodesOptions) {
    this.#ports = ports;
    this.#options = options;
    const entries = options.nodes.map(({ url, implied = false }) => [url, newEntry(url, implied, ports)] as const);
    this.#entries = new Map(entries);
    this.#snapshot = this.#views();
  }

  /** Settles once every node has been polled, or `stop()` was called. */
  get firstRound(): Promise<void> {
    return this.#first.promise;
  }

  /** Polls all nodes at once, and from then on each every `intervalMs`. */
  start(): void {
    void this.refresh().then(this.#first.resolve);
  }

  /** Polls these (all, unless named) now, or joins a poll under way. One that was up and fails is asked again at once
   *  until it answers or is down: what to call when a request to a node has failed. */
  async refresh(urls: readonly string[] = [...this.#entries.keys()]): Promise<void> {
    await Promise.all(urls.map((url) => this.#decide(this.#entries.get(url))));
  }

  /** Asks a node to unload a model; that it has, a later poll shows. @throws SynapticError when it cannot be asked. */
  async unload(url: string, model: string, signal: AbortSignal): Promise<void> {
    const { timeoutMs } = this.#options;
    const either = AbortSignal.any([signal, this.#stopping.signal]);
    await this.#ports.ollama.unload(url, { model, timeoutMs, signal: either });
  }

  /** A request of ours starts there; to be told when it has ended. */
  begin(url: string): () => void {
    const entry = this.#entries.get(url);
    if (!entry) return () => {};
    this.#count(entry, 1);
    return () => this.#count(entry, -1);
  }

  snapshot(): readonly NodeSnapshot[] {
    return this.#snapshot;
  }

  /** Calls back after each change of a state or reason, or of what a node has or holds; what it returns ends that. */
  subscribe(listener: NodeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Gives up polls; settles when none is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const entry of this.#entries.values()) entry.cancelNext();
    await Promise.all([...this.#entries.values()].map((entry) => entry.polling));
    this.#first.resolve();
  }

  async #decide(entry: Entry | undefined): Promise<void> {
    if (!entry) return;
    do await this.#poll(entry);
    while (isSuspectNode(entry.health) && !this.#stopping.signal.aborted);
  }

  #poll(entry: Entry): Promise<void> {
    if (this.#stopping.signal.aborted) return Promise.resolve();
    entry.cancelNext();
    entry.polling ??= this.#runPoll(entry);
    return entry.polling;
  }

  async #runPoll(entry: Entry): Promise<void> {
    const { signal } = this.#stopping;
    const { timeoutMs, failures, successes } = this.#options;
    const result = await this.#ports.ollama.poll(entry.url, { timeoutMs, signal });
    entry.polling = null;
    const nowMs = this.#ports.clock.now();
    this.#write(entry, applyPoll(entry.health, result, { nowMs, failures, successes }));
    if (signal.aborted) return;
    entry.cancelNext = this.#ports.clock.after(pauseAfter(entry.health, this.#options), () => void this.#decide(entry));
  }

  #count(entry: Entry, change: 1 | -1): void {
    entry.inFlight += change;
    entry.view = Object.freeze({ ...entry.view, inFlight: entry.inFlight });
    this.#snapshot = this.#views();
  }

  #write(entry: Entry, health: NodeHealth): void {
    if (health === entry.health) return;
    const before = entry.view;
    entry.health = health;
    entry.view = viewNode(entry.url, health, entry.inFlight);
    this.#snapshot = this.#views();
    this.#announce(entry, before);
    if (isNews(before, entry.view)) for (const listener of this.#listeners) listener(this.#snapshot);
  }

  /** One line for each change of state; of a node that nobody named, only once it has been there. */
  #announce({ url, view, implied, health }: Entry, before: NodeSnapshot): void {
    if (view.state === before.state || (implied && health.seen === null)) return;
    const { log } = this.#ports;
    if (view.state === "up") log.info("node up", { url, version: view.version, models: view.models.length });
    else log.warn(`node ${view.state}`, { url, reason: view.reason });
  }

  #views(): readonly NodeSnapshot[] {
    const shown = [...this.#entries.values()].filter(({ implied, health }) => !implied || health.seen !== null);
    return Object.freeze(shown.map(({ view }) => view));
  }
}

function isNews(before: NodeSnapshot, after: NodeSnapshot): boolean {
  const namesOf = (list: readonly { readonly name: string; readonly digest: string | null }[]): string =>
    JSON.stringify(list.map(({ name, digest }) => [name, digest]));
  return (
    before.state !== after.state ||
    before.reason !== after.reason ||
    namesOf(before.models) !== namesOf(after.models) ||
    namesOf(before.loaded) !== namesOf(after.loaded)
  );
}

function newEntry(url: string, implied: boolean, { clock }: NodesPorts): Entry {
  const health = unknownNode(clock.now());
  return { url, implied, health, polling: null, cancelNext: () => {}, view: viewNode(url, health), inFlight: 0 };
}
