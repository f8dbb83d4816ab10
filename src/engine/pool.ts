/** The Ollama nodes as one pool: who may answer a request, who does, and how each of them fared. */
import { afterFailure, type Circuit, CLOSED_CIRCUIT, circuitState } from "../core/circuit.ts";
import type { ConfigNode } from "../core/config-types.ts";
import { type NodeChoice, rankNodes } from "../core/node-choice.ts";
import { fitOnNode, memoryOfNode } from "../core/node-fit.ts";
import { ollamaKey } from "../core/ollama.ts";
import type { PullNode } from "../core/pull-place.ts";
import type { PoolOption } from "../core/route.ts";
import type { BackendSnapshot } from "../core/snapshot.ts";
import type { Nodes } from "./nodes.ts";
import type { Clock } from "./ports.ts";

export interface PoolPorts {
  readonly clock: Clock;
  readonly nodes: Pick<Nodes, "snapshot" | "refresh" | "begin">;
}

/** How a request to a node ended: `failed` by the node's own fault; a node that is full, or a client's fault, is neither. */
export type Outcome = "answered" | "failed" | "neither";

/** A request's place on a node. */
export interface NodeGrant {
  readonly url: string;
  /** The model as that node calls it. */
  readonly model: string;
  readonly why: string;
  /** The first token came. */
  heard(): void;
  /** To be called when the answer has ended; again does nothing. */
  release(outcome: Outcome): void;
}

export interface NodeWish {
  readonly model: string;
  /** Nodes that may answer it. */
  readonly urls: readonly string[];
  /** Tells conversations apart; null for a prompt by itself. */
  readonly conversation: string | null;
}

/** Weight of the latest time to a first token in the average. */
const LATEST = 0.3;
const MAX_CONVERSATIONS = 10_000;

export class Pool {
  readonly #ports: PoolPorts;
  readonly #configured: ReadonlyMap<string, ConfigNode>;
  readonly #circuits = new Map<string, Circuit>();
  readonly #firstTokenMs = new Map<string, number>();
  /** Which node answered a conversation last, the longest unused first. */
  readonly #homes = new Map<string, string>();

  constructor(ports: PoolPorts, nodes: readonly ConfigNode[]) {
    this.#ports = ports;
    this.#configured = new Map(nodes.map((node) => [node.url, node]));
  }

  /** The nodes that answer and have the model under any spelling of its name, each with whether it fits there. */
  options(model: string, backends: readonly BackendSnapshot[]): readonly PoolOption[] {
    const key = ollamaKey(model);
    return this.#ports.nodes.snapshot().flatMap((node) => {
      const found = node.state === "up" ? node.models.find(({ name }) => ollamaKey(name) === key) : undefined;
      if (!found || key === null) return [];
      const memory = memoryOfNode(node, backends, this.#configured.get(node.url)?.memoryBytes);
      return [{ url: node.url, ...fitOnNode(node, found, memory) }];
    });
  }

  /** The nodes that answer, each with whether a model of that size (null when unknown) would fit there. */
  places(model: string, bytes: number | null, backends: readonly BackendSnapshot[]): readonly PullNode[] {
    const key = ollamaKey(model);
    return this.#ports.nodes.snapshot().flatMap((node) => {
      if (node.state !== "up") return [];
      const { url, machine, models } = node;
      const configured = this.#configured.get(url);
      const found = models.find(({ name }) => key !== null && ollamaKey(name) === key);
      const memory = memoryOfNode(node, backends, configured?.memoryBytes);
      const verdict = fitOnNode(node, { name: found?.name ?? "", bytes }, memory);
      return [{ url, machine, hasIt: found !== undefined, priority: configured?.priority ?? 0, ...verdict }];
    });
  }

  /** Bytes of its files as a node has it; null when none does. */
  sizeOf(model: string): number | null {
    const key = ollamaKey(model);
    const models = this.#ports.nodes.snapshot().flatMap((node) => node.models);
    return models.find(({ name }) => key !== null && ollamaKey(name) === key)?.bytes ?? null;
  }

  /** The nodes that had it when they last answered, and do not answer now. */
  lost(model: string): readonly string[] {
    const key = ollamaKey(model);
    return this.#ports.nodes.snapshot().flatMap(({ url, state, models }) => {
      const hadIt = key !== null && models.some(({ name }) => ollamaKey(name) === key);
      return state !== "up" && hadIt ? [url] : [];
    });
  }

  /** The nodes that cannot answer a request for it, each with why not. */
  without(model: string): readonly { readonly url: string; readonly why: string }[] {
    const key = ollamaKey(model);
    return this.#ports.nodes.snapshot().flatMap(({ url, state, reason, models }) => {
      if (state !== "up") return [{ url, why: `is ${state}${reason ? `: ${reason}` : ""}` }];
      const hasIt = key !== null && models.some(({ name }) => ollamaKey(name) === key);
      return hasIt ? [] : [{ url, why: "does not have it" }];
    });
  }

  /** A place on the best of these nodes; null when none of them may be asked now. */
  take({ model, urls, conversation }: NodeWish): NodeGrant | null {
    const [best] = this.#rank(model, urls, conversation);
    if (!best) return null;
    const name = this.#nameOn(best.url, model);
    if (name === null) return null;
    if (conversation !== null) this.#remember(conversation, best.url);
    return this.#grant(best, name);
  }

  #rank(model: string, urls: readonly string[], conversation: string | null): readonly NodeChoice[] {
    const now = this.#ports.clock.now();
    const key = ollamaKey(model);
    const nodes = this.#ports.nodes.snapshot().filter(({ url, state }) => state === "up" && urls.includes(url));
    return rankNodes(
      nodes.map(({ url, inFlight, loaded }) => ({
        url,
        inFlight,
        priority: this.#configured.get(url)?.priority ?? 0,
        weight: this.#configured.get(url)?.weight ?? 1,
        isLoaded: loaded.some(({ name }) => ollamaKey(name) === key),
        firstTokenMs: this.#firstTokenMs.get(url) ?? null,
        holdsPrefix: conversation !== null && this.#homes.get(conversation) === url,
        circuit: circuitState(this.#circuits.get(url) ?? CLOSED_CIRCUIT, now),
      })),
    );
  }

  #nameOn(url: string, model: string): string | null {
    const node = this.#ports.nodes.snapshot().find((each) => each.url === url);
    return node?.models.find(({ name }) => ollamaKey(name) === ollamaKey(model))?.name ?? null;
  }

  #grant({ url, why }: NodeChoice, model: string): NodeGrant {
    const { clock, nodes } = this.#ports;
    const end = nodes.begin(url);
    const startedAt = clock.now();
    let heard = false;
    let held = true;
    return {
      ...{ url, model, why },
      heard: () => {
        if (!heard) this.#learn(url, clock.now() - startedAt);
        heard = true;
      },
      release: (outcome) => {
        if (!held) return;
        held = false;
        end();
        if (outcome === "answered") this.#circuits.delete(url);
        if (outcome !== "failed") return;
        this.#circuits.set(url, afterFailure(this.#circuits.get(url) ?? CLOSED_CIRCUIT, clock.now()));
        // What is wrong with it shows at once, and not at the next interval.
        void nodes.refresh([url]);
      },
    };
  }

  #learn(url: string, ms: number): void {
    const before = this.#firstTokenMs.get(url);
    this.#firstTokenMs.set(url, before === undefined ? ms : before * (1 - LATEST) + ms * LATEST);
  }

  #remember(conversation: string, url: string): void {
    this.#homes.delete(conversation);
    this.#homes.set(conversation, url);
    const oldest = this.#homes.size > MAX_CONVERSATIONS ? this.#homes.keys().next().value : undefined;
    if (oldest !== undefined) this.#homes.delete(oldest);
  }
}
