/** GgufHeader to ModelFacts: what placement needs to know of a model. Pure. */
import { type EmbeddingFacts, embeddingOf } from "./embedding.ts";
import { fileTypeName } from "./ggml-types.ts";
import type { GgufHeader } from "./gguf.ts";
import { activationElements, perLayerInputs } from "./model-activations.ts";
import { type ModelKeys, modelKeys } from "./model-keys.ts";
import { headSizes, kvInexactReason, type LayerCache, layerCache } from "./model-kv.ts";
import { weightBytes } from "./model-tensors.ts";

/** One repeating layer (`blk.N`). */
export interface LayerFacts extends LayerCache {
  readonly weightBytes: number;
  /** Of them, what is gone through for one token; absent when it is all. */
  readonly readBytes?: number;
}

export interface ModelFacts {
  readonly architecture: string;
  readonly name: string | null;
  /** The file's dominant weight type, such as `Q4_K_M` or `F16`. */
  readonly quantization: string;
  readonly parameters: number;
  readonly fileBytes: number;
  /** Tokens the model was trained for. */
  readonly trainedContext: number;
  readonly embeddingLength: number;
  readonly headCount: number;
  /** Largest head size over key and value. */
  readonly headSize: number;
  /** Per token: what the widest step of a layer keeps alive at once, beside some widths of the embedding. */
  readonly activationElements: number;
  /** Per token: what is fed to every layer beside the embeddings. */
  readonly perLayerInputs: number;
  readonly vocabularySize: number;
  readonly layers: readonly LayerFacts[];
  /** Token embeddings and what else stays on the head node. */
  readonly inputBytes: number;
  /** The output head (norm included). When it is tied to the embeddings, their bytes counted once more. */
  readonly outputBytes: number;
  readonly tiedOutput: boolean;
  /** Small tensors that every device gets its own copy of (`rope_freqs.weight`). */
  readonly perDeviceBytes: number;
  /** Null when KV bytes follow exactly from the layers; else why they are only an upper bound. */
  readonly kvInexact: string | null;
  readonly chatTemplate: boolean;
  /** Absent for models that write. */
  readonly embedding?: EmbeddingFacts;
}

export type ModelResult =
  | { readonly ok: true; readonly facts: ModelFacts }
  | { readonly ok: false; readonly reason: string };

/** LLAMA_MAX_LAYERS. */
const MAX_LAYERS = 512;
/** `general.type` of files that are no model by themselves. */
const OTHER_KINDS: ReadonlyMap<string, string> = new Map([
  ["adapter", "a LoRA adapter"],
  ["mmproj", "a vision or audio projector (mmproj)"],
  ["imatrix", "an importance matrix"],
  ["vocab", "a vocabulary"],
]);
/** Architectures that are part of something else, or decode audio. */
const OTHERS: ReadonlySet<string> = new Set(["t5encoder", "wavtokenizer-dec"]);

/** Reads what placement needs from a whole model's header; `reason` says why the file is no language model. */
export function modelFacts(header: GgufHeader): ModelResult {
  const architecture = header.metadata.get("general.architecture");
  if (typeof architecture !== "string" || !architecture) return refuse("general.architecture is missing");
  const keys = modelKeys(header, architecture);
  const other = otherKind(header, keys);
  if (other) return refuse(`file holds ${other}, not a language model`);
  const missing = ["block_count", "context_length", "embedding_length"].find((key) => !keys.number(key));
  if (missing) return refuse(`${architecture}.${missing} is missing or no whole number above 0`);
  const layerCount = keys.number("block_count") ?? 0;
  if (layerCount > MAX_LAYERS) return refuse(`model has ${layerCount} layers, llama.cpp takes at most ${MAX_LAYERS}`);
  const weights = weightBytes(header, keys, layerCount);
  if (!weights.ok) return refuse(weights.reason);
  const { bytes } = weights;
  const layers = bytes.layers.map((weight, i) => ({
    weightBytes: weight,
    ...(bytes.read[i] !== weight && { readBytes: bytes.read[i] ?? weight }),
    ...layerCache(keys, i, layerCount),
  }));
  const name = header.metadata.get("general.name");
  const sizes = headSizes(keys);
  const embedding = embeddingOf(keys);
  const facts: ModelFacts = {
    architecture,
    name: typeof name === "string" ? name : null,
    quantization: quantizationOf(header),
    parameters: header.tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0),
    fileBytes: header.fileBytes,
    trainedContext: keys.number("context_length") ?? 0,
    embeddingLength: keys.number("embedding_length") ?? 0,
    headCount: keys.number("attention.head_count") ?? 0,
    headSize: Math.max(sizes.key, sizes.value),
    activationElements: activationElements(keys),
    perLayerInputs: perLayerInputs(keys),
    vocabularySize: vocabularyOf(header, keys),
    layers,
    inputBytes: bytes.input,
    outputBytes: bytes.output,
    tiedOutput: bytes.tiedOutput,
    perDeviceBytes: bytes.perDevice,
    kvInexact: kvInexactReason(keys),
    chatTemplate: header.metadata.has("tokenizer.chat_template"),
    ...(embedding && { embedding }),
  };
  return { ok: true, facts };
}

function refuse(reason: string): ModelResult {
  return { ok: false, reason };
}

function otherKind({ metadata, tensors }: GgufHeader, { architecture }: ModelKeys): string | null {
  const type = metadata.get("general.type");
  const kind = typeof type === "string" ? OTHER_KINDS.get(type) : undefined;
  if (kind) return kind;
  if (architecture === "clip") return "a vision or audio projector (mmproj)";
  if (OTHERS.has(architecture)) return `an encoder or audio model (${architecture})`;
  return tensors.length === 0 ? "a vocabulary" : null;
}

/** The file's own word; where it has none, the type that most bytes have. */
function quantizationOf({ metadata, tensors }: GgufHeader): string {
  const fileType = metadata.get("general.file_type");
  const named = typeof fileType === "number" ? fileTypeName(fileType) : null;
  if (named) return named;
  const bytes = new Map<string, number>();
  for (const tensor of tensors) bytes.set(tensor.type, (bytes.get(tensor.type) ?? 0) + tensor.bytes);
  const [most] = [...bytes].toSorted((a, b) => b[1] - a[1]);
  return most?.[0] ?? "unknown";
}

function vocabularyOf({ metadata, tensors }: GgufHeader, keys: ModelKeys): number {
  const tokens = metadata.get("tokenizer.ggml.tokens");
  if (typeof tokens === "object") return tokens.length;
  return keys.number("vocab_size") ?? tensors.find((tensor) => tensor.name === "token_embd.weight")?.shape[1] ?? 0;
}
