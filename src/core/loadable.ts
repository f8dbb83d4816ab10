/** GGUF files that only Ollama's own engine loads, known by their headers before llama-server is started. Pure. Sources:
 *  facts/clients.md section 4 and the markers of Ollama's llama/compat layer, which upstream llama.cpp does not have. */

import { OLLAMA_MXFP4 } from "./ggml-types.ts";
import type { GgufHeader } from "./gguf.ts";

/** Why something cannot be used, after its name and a colon; and what to do, as a sentence without a full stop. */
export interface Defect {
  readonly reason: string;
  readonly hint: string;
}

const ELSEWHERE =
  "use a GGUF made for llama.cpp instead (`ollama pull hf.co/ORG/REPO:QUANT`, from ggml-org for instance), or ask Ollama itself for this model";

/** Architectures that llama.cpp spells otherwise, or does not have: the name of Ollama's to what it is there. */
const OTHER_NAMES: ReadonlyMap<string, string> = new Map([
  ["gptoss", "llama.cpp's is gpt-oss, with other tensor names"],
  ["qwen25vl", "llama.cpp's is qwen2vl, with its vision part in another file"],
  ["olmo3", "llama.cpp's is olmo2"],
  ["deepseekocr", "llama.cpp's is deepseek2-ocr, with its vision part in another file"],
  ["glmocr", "llama.cpp's is glm4, with its vision part in another file"],
  ["glm4moelite", "llama.cpp's is deepseek2, with its attention described otherwise"],
  ["nemotron_h_omni", "llama.cpp's is nemotron_h_moe, with its vision part in another file"],
  ["mllama", "llama.cpp has none for it"],
]);

/** Vision, audio and prediction parts that Ollama keeps in the file of the text model. */
const EMBEDDED = /^(?:v|mm|a|s|mtp|model\.vision_tower)\./;

interface Look {
  readonly architecture: string;
  /** Whether there is such a key, its architecture in front. */
  readonly has: (key: string) => boolean;
  readonly value: (key: string) => unknown;
  /** Whether a tensor's name matches. */
  readonly holds: (name: RegExp) => boolean;
  readonly rows: (tensor: string) => number | null;
}

/** By architecture: what is otherwise than llama.cpp wants it, or null. */
const MARKERS: Readonly<Record<string, (look: Look) => string | null>> = {
  gemma3: ({ has, holds }) => {
    if (holds(/^dense\.0\.weight$/)) return "it is an embedding model under the name of a chat model";
    if (!has("attention.layer_norm_rms_epsilon")) return "attention.layer_norm_rms_epsilon is missing";
    return has("rope.global.freq_base") ? "its rope settings have other names" : null;
  },
  gemma3n: ({ rows }) => {
    const perLayer = rows("per_layer_token_embd.weight");
    return perLayer !== null && perLayer !== rows("token_embd.weight") ? "its two vocabularies differ in size" : null;
  },
  gemma4: ({ value }) =>
    value("tokenizer.ggml.model") === "llama" && value("tokenizer.ggml.merges") !== undefined
      ? "its tokenizer is announced as another one"
      : null,
  lfm2: ({ holds }) =>
    holds(/^output_norm\.weight$/) && !holds(/^token_embd_norm\.weight$/) ? "its output norm has another name" : null,
  mistral3: ({ has }) =>
    ["rope.scaling.beta_fast", "rope.scaling.mscale_all_dim", "rope.scaling_beta"].some(has)
      ? "its rope scaling settings have other names"
      : null,
  qwen35: otherQwen,
  qwen35moe: otherQwen,
  qwen3next: otherQwen,
  qwen3vl: withoutSections,
  qwen3vlmoe: withoutSections,
  laguna: ({ holds }) => (holds(/\.attn_g\.weight$/) ? "its attention gates have other names" : null),
  nemotron_h_moe: ({ holds }) => (holds(/\.ffn_latent_in/) ? "its latent projections have other names" : null),
};

function otherQwen({ holds, value, architecture }: Look): string | null {
  if (holds(/\.ssm_dt$/)) return "its ssm_dt tensors lack .bias in their names";
  const sections = value(`${architecture}.rope.dimension_sections`);
  const three = typeof sections === "object" && sections !== null && "length" in sections && sections.length === 3;
  return three ? "rope.dimension_sections has 3 items, not 4" : null;
}

function withoutSections({ has }: Look): string | null {
  return has("rope.dimension_sections") ? null : "rope.dimension_sections is missing";
}

/** Why llama.cpp cannot load a model that Ollama can, or would load it wrongly; null when nothing of the kind shows. */
export function whyNotLoadable(header: GgufHeader): Defect | null {
  const architecture = header.metadata.get("general.architecture");
  if (typeof architecture !== "string" || isProjector(header)) return null;
  const reason = reasonAgainst(lookAt(header, architecture), header);
  if (reason === null) return null;
  return { reason: `only Ollama's own engine can load this file: ${reason}`, hint: ELSEWHERE };
}

function reasonAgainst(look: Look, { tensors }: GgufHeader): string | null {
  const { architecture } = look;
  const otherName = OTHER_NAMES.get(architecture);
  if (otherName !== undefined) return `its architecture is called ${architecture} (${otherName})`;
  const old = tensors.find(({ type }) => type === OLLAMA_MXFP4);
  if (old) return `its MXFP4 tensors have a number of Ollama's own as their type (${old.name})`;
  const embedded = tensors.find(({ name }) => EMBEDDED.test(name));
  if (embedded) {
    return `it holds more than the text model (${embedded.name}), which llama.cpp wants in a file of its own`;
  }
  const marked = Object.hasOwn(MARKERS, architecture) ? MARKERS[architecture]?.(look) : null;
  return marked ?? null;
}

function lookAt({ metadata, tensors }: GgufHeader, architecture: string): Look {
  return {
    architecture,
    has: (key) => metadata.has(`${architecture}.${key}`),
    value: (key) => metadata.get(key),
    holds: (name) => tensors.some((tensor) => name.test(tensor.name)),
    rows: (wanted) => tensors.find(({ name }) => name === wanted)?.shape[1] ?? null,
  };
}

function isProjector({ metadata }: GgufHeader): boolean {
  return metadata.get("general.architecture") === "clip" || metadata.get("general.type") === "mmproj";
}

const LLAMA3_VOCABULARY = 128_256;
const END_OF_TEXT = 128_001;
const END_OF_TURN = 128_009;

/** Arguments that repair a header for llama-server: the first Llama 3 chat models in Ollama's registry name the wrong end
 *  token, so that answers run on, and no pre-tokenizer. */
export function headerRepairs({ metadata }: GgufHeader): readonly string[] {
  const template = metadata.get("tokenizer.chat_template");
  const tokens = metadata.get("tokenizer.ggml.tokens");
  const isLlama3Chat =
    metadata.get("general.architecture") === "llama" &&
    typeof tokens === "object" &&
    tokens.length === LLAMA3_VOCABULARY &&
    typeof template === "string" &&
    /<\|(?:eot_id|start_header_id)\|>/.test(template);
  if (!isLlama3Chat) return [];
  const pre = metadata.get("tokenizer.ggml.pre") ?? "default";
  const wrongPre = pre === "default" || pre === "";
  const wrongEnd = metadata.get("tokenizer.ggml.eos_token_id") === END_OF_TEXT;
  if (!wrongPre && !wrongEnd) return [];
  const pairs = [...(wrongPre ? ["pre=str:llama-bpe"] : []), `eos_token_id=int:${END_OF_TURN}`];
  return ["--override-kv", pairs.map((pair) => `tokenizer.ggml.${pair}`).join(",")];
}

/** Why llama-server would refuse a projector; null when nothing shows. */
export function projectorDefect({ metadata }: GgufHeader): string | null {
  if (metadata.get("general.architecture") !== "clip") return "its projector is no GGUF file of a projector";
  const named = [...metadata.keys()].some((key) => /^clip\.(?:vision\.|audio\.)?projector_type$/.test(key));
  return named ? null : "its projector does not say of which kind it is (clip.projector_type), as llama.cpp wants it";
}
