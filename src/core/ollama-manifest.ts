/** What an Ollama manifest says a model is made of, or why it is nothing to load. Pure. Format: facts/clients.md section 4. */
import { z } from "zod";
import type { Defect } from "./loadable.ts";

const DIGEST = /^sha256[:-]([0-9a-f]{64})$/;
const MEDIA_PREFIX = "application/vnd.ollama.image.";

/** A safetensors model has a layer for each tensor. */
const MAX_LAYERS = 50_000;

const layerSchema = z.object({
  mediaType: z.string().max(256),
  digest: z.string().regex(DIGEST),
  size: z.int().nonnegative(),
});
const manifestSchema = z.object({
  config: layerSchema.nullish(),
  layers: z.array(layerSchema).max(MAX_LAYERS).nullish(),
});
const configSchema = z.object({
  model_format: z.string().nullish(),
  remote_host: z.string().nullish(),
  remote_model: z.string().nullish(),
});

export interface OllamaLayer {
  /** The end of its media type, such as `model`; in full where the type is not Ollama's own. */
  readonly kind: string;
  /** 64 hex digits. */
  readonly digest: string;
  readonly bytes: number;
}

export interface OllamaManifest {
  readonly config: OllamaLayer | null;
  readonly layers: readonly OllamaLayer[];
}

export type ManifestResult =
  | { readonly ok: true; readonly manifest: OllamaManifest }
  | { readonly ok: false; readonly reason: string };

/** Reads the JSON of a manifest. */
export function parseManifest(text: string): ManifestResult {
  const parsed = parseJson(text, manifestSchema);
  if (!parsed.ok) return { ok: false, reason: `its manifest ${parsed.reason}` };
  const { config, layers } = parsed.value;
  return { ok: true, manifest: { config: config ? layerOf(config) : null, layers: (layers ?? []).map(layerOf) } };
}

type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

/** JSON held to a schema; `reason` goes after the name of what was read. */
export function parseJson<T>(text: string, schema: z.ZodType<T>): Parsed<T> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { ok: false, reason: text.trim() === "" ? "is empty" : "is no JSON" };
  }
  const checked = schema.safeParse(json);
  if (checked.success) return { ok: true, value: checked.data };
  const [issue] = checked.error.issues;
  return { ok: false, reason: `is damaged at ${issue?.path.join(".") || "its top"}: ${issue?.message ?? "unknown"}` };
}

function layerOf({ mediaType, digest, size }: z.infer<typeof layerSchema>): OllamaLayer {
  const kind = mediaType.startsWith(MEDIA_PREFIX) ? mediaType.slice(MEDIA_PREFIX.length) : mediaType;
  return { kind, digest: DIGEST.exec(digest)?.[1] ?? "", bytes: size };
}

/** The blob's file below `blobs`, and what it was called before Ollama 0.1.32. */
export function blobNames({ digest }: OllamaLayer): readonly [name: string, oldName: string] {
  return [`sha256-${digest}`, `sha256:${digest}`];
}

/** From the small config blob. */
export interface OllamaConfig {
  readonly format: string;
  readonly remoteHost: string | null;
}

/** Null when the text is no config: what depends on it is then unknown. */
export function parseConfig(text: string): OllamaConfig | null {
  const parsed = parseJson(text, configSchema);
  if (!parsed.ok) return null;
  const { model_format, remote_host, remote_model } = parsed.value;
  return { format: model_format ?? "", remoteHost: remote_host || (remote_model ? "another host" : null) };
}

export interface OllamaParts {
  readonly model: OllamaLayer;
  readonly projector: OllamaLayer | null;
  readonly adapters: readonly OllamaLayer[];
  readonly params: OllamaLayer | null;
  /** Whether it has a template of Ollama's own kind, which llama-server cannot read. */
  readonly hasTemplate: boolean;
  /** What it has and llama-server is not given, in sentences. */
  readonly notes: readonly string[];
}

export type PartsResult =
  | { readonly ok: true; readonly parts: OllamaParts }
  | { readonly ok: false; readonly defect: Defect };

const GGUF_INSTEAD = "get it as GGUF, such as `ollama pull hf.co/ORG/REPO:QUANT`";

/** What of a model llama-server is given, or why there is nothing to give; `name` goes into what to do. */
export function partsOf({ layers }: OllamaManifest, config: OllamaConfig | null, name: string): PartsResult {
  const all = (kind: string) => layers.filter((layer) => layer.kind === kind);
  const refuse = (reason: string, hint: string): PartsResult => ({ ok: false, defect: { reason, hint } });
  const [model, ...others] = all("model");
  if (!model && config?.remoteHost) {
    return refuse(
      `it runs on ${config.remoteHost} and has no weights here`,
      "ask Ollama for it, or pull a model that runs locally",
    );
  }
  if (all("tensor").length > 0 || config?.format === "safetensors") {
    return refuse("it is stored as safetensors, which Ollama's own MLX engine alone can run", GGUF_INSTEAD);
  }
  if (!model) return refuse("its manifest names no model layer", pullAgain(name));
  if (others.length > 0) {
    return refuse(
      `its manifest names ${others.length + 1} model layers, llama-server takes one file`,
      "merge the parts (`llama-gguf-split --merge`) and create it again from that file",
    );
  }
  const [projector = null, ...moreProjectors] = all("projector");
  const hasTemplate = all("template").length + all("prompt").length > 0;
  const notes = [
    ...(moreProjectors.length > 0 ? [`only the first of its ${moreProjectors.length + 1} projectors is used`] : []),
    ...(all("draft").length > 0 ? ["its draft model is not used"] : []),
    ...(all("messages").length > 0 ? ["its example messages are not sent: say them in the request"] : []),
    ...(hasTemplate ? ["prompts follow the chat template of its GGUF file, not Ollama's own template"] : []),
  ];
  const [params = null] = all("params");
  return { ok: true, parts: { model, projector, adapters: all("adapter"), params, hasTemplate, notes } };
}

/** What to do about a model whose files are not as its manifest says. */
export function pullAgain(name: string): string {
  return `\`ollama pull ${name}\` gets it again`;
}
