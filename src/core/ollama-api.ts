/** What an Ollama answers, held to what we use of it; entries that make no sense are left out. Pure. Shapes: facts/clients.md 3a. */
import { z } from "zod";
import { parseOllamaName } from "./ollama.ts";

/** A model that a node has on its disk. */
export interface NodeModel {
  /** As the node's `ollama list` shows it. */
  readonly name: string;
  /** SHA-256 of its manifest in hex; null when the node names none. */
  readonly digest: string | null;
  /** Of all its files; null when unknown. */
  readonly bytes: number | null;
  readonly parameters: string | null;
  readonly quantization: string | null;
  /** The host that a cloud model runs on; null for one with weights. */
  readonly remoteHost: string | null;
  readonly told: NodeTold;
}

/** What a node says of a model beside that: passed on to Ollama's clients, and decided upon nowhere. */
export interface NodeTold {
  readonly family: string | null;
  /** As the node wrote it. */
  readonly modifiedAt: string | null;
  readonly trainedContext: number | null;
  readonly embeddingLength: number | null;
  /** Null before Ollama said so. */
  readonly capabilities: readonly string[] | null;
}

/** A model that a node has in memory. */
export interface LoadedModel {
  readonly name: string;
  readonly digest: string | null;
  /** In all memory. */
  readonly bytes: number;
  /** Of these, on its accelerators. */
  readonly vramBytes: number;
  /** When it is unloaded unless it is used, as the node wrote it; null when it does not say. */
  readonly expiresAt: string | null;
  /** Tokens; null before Ollama said so. */
  readonly contextSize: number | null;
}

export type Read<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

/** A node with more models than this is none. */
const MAX_MODELS = 10_000;
const text = z.string().min(1).max(256);
/** An Ollama counts in 64 bits; what a double cannot hold is no size of a file. */
const bytes = z.int().nonnegative();
const nameSchema = z.string().refine((name) => parseOllamaName(name) !== null);

const versionSchema = z.object({ version: text });
const listSchema = z.object({ models: z.array(z.unknown()).max(MAX_MODELS).nullish() });
const modelSchema = z.object({
  name: nameSchema,
  size: bytes.nullish().catch(null),
  digest: z.unknown().optional(),
  remote_host: text.nullish().catch(null),
  modified_at: text.nullish().catch(null),
  capabilities: z.array(text).max(32).nullish().catch(null),
  details: z
    .object({
      parameter_size: text.nullish().catch(null),
      quantization_level: text.nullish().catch(null),
      family: text.nullish().catch(null),
      context_length: z.int().positive().nullish().catch(null),
      embedding_length: z.int().positive().nullish().catch(null),
    })
    .nullish()
    .catch(null),
});
const loadedSchema = z.object({
  name: nameSchema,
  size: bytes,
  size_vram: bytes.nullish().catch(null),
  digest: z.unknown().optional(),
  expires_at: text.nullish().catch(null),
  context_length: z.int().positive().nullish().catch(null),
});

/** `/api/version`. */
export function readVersion(json: unknown): Read<string> {
  const parsed = versionSchema.safeParse(json);
  // It goes into logs and terminals.
  if (!parsed.success || !/^[\x21-\x7e]+$/.test(parsed.data.version)) return { ok: false, reason: "names no version" };
  return { ok: true, value: parsed.data.version };
}

/** `/api/tags`: each name once. */
export function readTags(json: unknown): Read<readonly NodeModel[]> {
  return readList(json, modelSchema, ({ name, size, digest, remote_host, details, ...entry }) => ({
    name,
    digest: readDigest(digest),
    bytes: size ?? null,
    parameters: details?.parameter_size ?? null,
    quantization: details?.quantization_level ?? null,
    remoteHost: remote_host ?? null,
    told: {
      family: details?.family ?? null,
      modifiedAt: entry.modified_at ?? null,
      trainedContext: details?.context_length ?? null,
      embeddingLength: details?.embedding_length ?? null,
      capabilities: entry.capabilities ?? null,
    },
  }));
}

/** `/api/ps`: each name once. Without `size_vram`, all of it may lie in RAM. */
export function readLoaded(json: unknown): Read<readonly LoadedModel[]> {
  return readList(json, loadedSchema, ({ name, size, size_vram, digest, expires_at, context_length }) => ({
    name,
    digest: readDigest(digest),
    bytes: size,
    vramBytes: Math.min(size, size_vram ?? 0),
    expiresAt: expires_at ?? null,
    contextSize: context_length ?? null,
  }));
}

function readList<S extends { readonly name: string }, T>(
  json: unknown,
  schema: z.ZodType<S>,
  convert: (entry: S) => T,
): Read<readonly T[]> {
  const list = listSchema.safeParse(json);
  if (!list.success) return { ok: false, reason: "holds no list of models" };
  const found = new Map<string, T>();
  for (const entry of list.data.models ?? []) {
    const parsed = schema.safeParse(entry);
    if (parsed.success && !found.has(parsed.data.name)) found.set(parsed.data.name, convert(parsed.data));
  }
  return { ok: true, value: [...found.values()] };
}

function readDigest(value: unknown): string | null {
  if (typeof value !== "string") return null;
  return /^(?:sha256:)?([0-9a-f]{64})$/.exec(value)?.[1] ?? null;
}

/** What unloads a model: a request without a prompt that keeps it for no time (facts/clients.md 3a). Ollama lets the
 *  requests that run end first, and keeps the model until then. */
export function unloadRequest(model: string): string {
  return JSON.stringify({ model, keep_alive: 0, stream: false });
}
