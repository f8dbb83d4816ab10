/** Models of the head node and of nodes as Ollama's listings show them: each name once. Pure. */
import type { ModelFacts } from "./model.ts";
import { capabilitiesOf, type ModelAbout } from "./model-about.ts";
import { ollamaKey } from "./ollama.ts";
import type { LoadedModel, NodeModel } from "./ollama-api.ts";
import type { Plan } from "./plan-types.ts";
import type { NodeSnapshot } from "./snapshot.ts";
import type { OllamaModel, RunningOllamaModel } from "./translate/ollama-listing.ts";

/** What was read of a file; null before it could be. */
export interface ShownFile {
  readonly facts: ModelFacts;
  readonly about?: ModelAbout;
  readonly modifiedAtMs?: number;
}

export interface HeadModel {
  readonly id: string;
  readonly digest: string | null;
  /** Of all its files; null when only its header knows. */
  readonly bytes: number | null;
  readonly hasProjector: boolean;
  readonly file: ShownFile | null;
}

/** Ollama's names have a tag, and some clients write one to those without (facts/clients.md 1a, Open WebUI). */
export function taggedName(id: string): string {
  const isTagged = id.lastIndexOf(":") > id.lastIndexOf("/");
  return isTagged || ollamaKey(id) === null ? id : `${id}:latest`;
}

export function shownOfHead({ id, digest, bytes, hasProjector, file }: HeadModel): OllamaModel {
  const facts = file?.facts;
  return {
    name: taggedName(id),
    modifiedAtMs: file?.modifiedAtMs ?? 0,
    bytes: bytes ?? facts?.fileBytes ?? 0,
    digest,
    family: facts?.architecture ?? null,
    parameters: facts?.parameters ?? null,
    quantization: facts?.quantization ?? null,
    trainedContext: facts?.trainedContext ?? null,
    embeddingLength: facts?.embeddingLength ?? null,
    capabilities: facts?.embedding ? ["embedding"] : capabilitiesOf({ about: file?.about, hasProjector }),
  };
}

export function shownOfNode({ name, digest, bytes, parameters, quantization, told }: NodeModel): OllamaModel {
  const { family, modifiedAt, trainedContext, embeddingLength, capabilities } = told;
  return {
    ...{ name, digest, bytes: bytes ?? 0, family, parameters, quantization, trainedContext, embeddingLength },
    modifiedAtMs: Date.parse(modifiedAt ?? ""),
    capabilities: capabilities ?? (isEmbedder(family) ? ["embedding"] : ["completion"]),
  };
}

/** For Ollamas that do not tell yet what their models can do. */
function isEmbedder(family: string | null): boolean {
  return family?.includes("bert") ?? false;
}

/** The head node's first, then what nodes have beside them; under any spelling of a name once. */
export function eachOnce(ofHead: readonly OllamaModel[], nodes: readonly NodeSnapshot[]): readonly OllamaModel[] {
  const ofNodes = nodes.flatMap(({ models }) => models.map(shownOfNode));
  const found = new Map<string, OllamaModel>();
  for (const model of [...ofHead, ...ofNodes]) {
    const key = ollamaKey(model.name) ?? model.name;
    if (!found.has(key)) found.set(key, model);
  }
  return [...found.values()];
}

/** A coordinator that is loaded. `keepUntil` is ISO 8601; null while it is in use, or for ever. */
export function runningOnShards(shown: OllamaModel, plan: Plan, keepUntil: string | null): RunningOllamaModel {
  const devices = plan.backends.flatMap((backend) => backend.devices);
  const accelerators = [...devices.filter(({ kind }) => kind === "accelerator"), ...plan.head.devices];
  const { modelBytes, computeBytes, kvBytes = 0, projectorBytes = 0, draftBytes = 0 } = plan.head;
  const onHead = modelBytes + computeBytes + kvBytes + projectorBytes + draftBytes;
  return {
    ...shown,
    memoryBytes: sum([...devices, ...plan.head.devices]) + onHead,
    acceleratorBytes: sum(accelerators),
    expiresAtMs: timeOf(keepUntil),
    contextSize: plan.contextSize,
  };
}

interface Share {
  readonly modelBytes: number;
  readonly kvBytes: number;
  readonly computeBytes: number;
}

function sum(shares: readonly Share[]): number {
  return shares.reduce((bytes, share) => bytes + share.modelBytes + share.kvBytes + share.computeBytes, 0);
}

/** What a node holds; what it has on disk tells the rest. */
export function runningOnNode({ models }: Pick<NodeSnapshot, "models">, loaded: LoadedModel): RunningOllamaModel {
  const stored = models.find(({ name }) => name === loaded.name);
  const blank = { parameters: null, quantization: null, remoteHost: null };
  const told = { family: null, modifiedAt: null, trainedContext: null, embeddingLength: null, capabilities: null };
  const { name, digest, bytes, vramBytes, expiresAt, contextSize } = loaded;
  return {
    ...shownOfNode(stored ?? { name, digest, bytes, ...blank, told }),
    memoryBytes: bytes,
    acceleratorBytes: vramBytes,
    expiresAtMs: timeOf(expiresAt),
    contextSize: contextSize ?? 0,
  };
}

function timeOf(text: string | null): number | null {
  const ms = Date.parse(text ?? "");
  return Number.isNaN(ms) ? null : ms;
}
