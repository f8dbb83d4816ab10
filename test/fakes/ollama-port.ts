/** Ollama nodes as the engine sees them, which answer what a test says. */
import type { NodePoll } from "../../src/core/node.ts";
import type { LoadedModel, NodeModel } from "../../src/core/ollama-api.ts";
import type { AskOptions, OllamaPort } from "../../src/engine/ports.ts";

export function nodeModel(name: string, more: Partial<NodeModel> = {}): NodeModel {
  const told = { family: null, modifiedAt: null, trainedContext: null, embeddingLength: null, capabilities: null };
  return { name, digest: null, bytes: 5, parameters: null, quantization: null, remoteHost: null, told, ...more };
}

export function loadedModel(name: string, more: Partial<LoadedModel> = {}): LoadedModel {
  const expiresAt = "2026-11-24T18:05:00Z";
  return { name, digest: null, bytes: 5, vramBytes: 0, expiresAt, contextSize: null, ...more };
}

export function answers(more: Partial<Extract<NodePoll, { tag: "up" }>> = {}): NodePoll {
  return { tag: "up", version: "0.33.0", models: [], loaded: [], address: "10.0.0.5", rttMs: 1, ...more };
}

/** Refuses connections until it is told otherwise. */
export class ScriptedOllama implements OllamaPort {
  readonly polled: string[] = [];
  readonly unloaded: { readonly url: string; readonly model: string }[] = [];
  readonly #answers = new Map<string, NodePoll | Promise<NodePoll>>();
  /** What a node does when it is asked to unload. */
  onUnload: (url: string, model: string) => void = () => {};

  set(url: string, answer: NodePoll | Promise<NodePoll>): void {
    this.#answers.set(url, answer);
  }

  async poll(url: string, { signal }: AskOptions): Promise<NodePoll> {
    this.polled.push(url);
    const { promise, resolve } = Promise.withResolvers<NodePoll>();
    signal.addEventListener("abort", () => resolve({ tag: "cancelled" }), { once: true });
    return await Promise.race([this.#answers.get(url) ?? ({ tag: "refused" } as const), promise]);
  }

  async unload(url: string, { model }: AskOptions & { readonly model: string }): Promise<void> {
    this.unloaded.push({ url, model });
    this.onUnload(url, model);
  }
}
