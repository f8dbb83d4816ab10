/** What Ollama's listing endpoints answer, from plain facts of models. Pure. Shapes: facts/clients.md 3a and 1a. */
import type { JsonObject } from "./json.ts";

export interface OllamaModel {
  /** With its tag: Open WebUI adds `:latest` to a name without one. */
  readonly name: string;
  readonly modifiedAtMs: number;
  readonly bytes: number;
  /** 64 hexadecimal digits; null when the model is no Ollama's. */
  readonly digest: string | null;
  /** `general.architecture`; null when unknown. */
  readonly family: string | null;
  /** Their number, or as a node words it (`8.0B`). */
  readonly parameters: number | string | null;
  /** Such as `Q4_K_M`. */
  readonly quantization: string | null;
  readonly trainedContext: number | null;
  readonly embeddingLength: number | null;
  /** Such as `completion`, `tools`, `vision`, `thinking`, `embedding`, `insert`: Roo hides what has no `tools`. */
  readonly capabilities: readonly string[];
}

export interface RunningOllamaModel extends OllamaModel {
  /** All that it takes of memory. */
  readonly memoryBytes: number;
  /** What of it is in accelerators' memory. */
  readonly acceleratorBytes: number;
  /** When it will be unloaded; null for never. */
  readonly expiresAtMs: number | null;
  readonly contextSize: number;
}

export interface ShownOllamaModel extends OllamaModel {
  readonly template: string;
  readonly system: string;
  readonly license: string;
  /** The defaults of its requests, as in a Modelfile; a list stands for several lines. */
  readonly parameterDefaults: Readonly<Record<string, unknown>>;
  /** The keys of its file. Long lists and what is too long for people are left out here. */
  readonly info: Readonly<Record<string, unknown>>;
  /** What a Modelfile would build it from. */
  readonly from: string;
}

/** What a client wants to see at `GET /` and `HEAD /`. */
export const OLLAMA_GREETING = "Ollama is running";

/** Clients gate features on it (facts/clients.md 3a): the release whose API this is. */
const API_VERSION = "0.33.0";

/** `GET /api/version`. */
export function ollamaVersion(): JsonObject {
  return { version: API_VERSION };
}

/** `GET /api/tags`, the last modified first. */
export function ollamaTags(models: readonly OllamaModel[]): JsonObject {
  const byTime = models.toSorted((a, b) => b.modifiedAtMs - a.modifiedAtMs);
  return {
    models: byTime.map((model) => ({
      ...named(model),
      modified_at: timeOf(model.modifiedAtMs),
      size: model.bytes,
      details: detailsOf(model),
      capabilities: model.capabilities,
    })),
  };
}

/** Where Go's clock ends: what Ollama says of a model that stays for ever. */
const NEVER = "2318-03-05T00:00:00Z";

/** `GET /api/ps`, what stays longest first. */
export function ollamaPs(models: readonly RunningOllamaModel[]): JsonObject {
  const expiry = ({ expiresAtMs }: RunningOllamaModel): number => expiresAtMs ?? Number.MAX_VALUE;
  return {
    models: models
      .toSorted((a, b) => expiry(b) - expiry(a))
      .map((model) => ({
        ...named(model),
        size: model.memoryBytes,
        details: detailsOf(model),
        expires_at: model.expiresAtMs === null ? NEVER : timeOf(model.expiresAtMs),
        size_vram: model.acceleratorBytes,
        context_length: model.contextSize,
      })),
  };
}

/** `POST /api/show`. */
export function ollamaShow(model: ShownOllamaModel): JsonObject {
  const parameters = parameterLines(model.parameterDefaults);
  return {
    license: model.license,
    modelfile: modelfileOf(model),
    parameters: parameters.map(([key, value]) => `${key.padEnd(KEY_WIDTH)} ${value}`).join("\n"),
    template: model.template,
    system: model.system,
    details: detailsOf(model),
    model_info: infoOf(model),
    capabilities: model.capabilities,
    modified_at: timeOf(model.modifiedAtMs),
  };
}

/** The `ollama` CLI cuts twelve digits off, and ends itself over a shorter text. */
const NO_DIGEST = "0".repeat(64);

function named({ name, digest }: OllamaModel): JsonObject {
  return { name, model: name, digest: digest ?? NO_DIGEST };
}

/** What a file's date cannot be is the beginning of time. */
function timeOf(ms: number): string {
  const time = new Date(ms);
  return Number.isNaN(time.getTime()) ? new Date(0).toISOString() : time.toISOString();
}

function detailsOf(model: OllamaModel): JsonObject {
  const family = model.family ?? "";
  return {
    parent_model: "",
    format: "gguf",
    family,
    families: family === "" ? [] : [family],
    parameter_size: parameterSize(model.parameters),
    quantization_level: model.quantization ?? "unknown",
    ...(model.trainedContext === null ? {} : { context_length: model.trainedContext }),
    ...(model.embeddingLength === null ? {} : { embedding_length: model.embeddingLength }),
  };
}

function parameterSize(parameters: OllamaModel["parameters"]): string {
  return typeof parameters === "number" ? formatParameters(parameters) : (parameters ?? "");
}

const SCALES = [
  ["B", 1e9, 1],
  ["M", 1e6, 2],
  ["K", 1e3, 0],
] as const;

/** `8B`, `70.6B`, `137.22M`: as Ollama writes a number of weights (format/format.go). */
export function formatParameters(parameters: number): string {
  for (const [unit, size, digits] of SCALES) {
    const scaled = parameters / size;
    if (scaled >= 1) return `${Number.isInteger(scaled) ? scaled : scaled.toFixed(digits)}${unit}`;
  }
  return String(parameters);
}

const KEY_WIDTH = 30;

/** Texts in quotes, as Go writes them; Continue reads `stop` and `num_ctx` here (facts/clients.md 1a). */
function parameterLines(defaults: ShownOllamaModel["parameterDefaults"]): readonly (readonly [string, string])[] {
  return Object.entries(defaults).flatMap(([key, value]) => {
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    return values.map((each) => [key, typeof each === "string" ? JSON.stringify(each) : String(each)] as const);
  });
}

function modelfileOf({ from, template, system, parameterDefaults }: ShownOllamaModel): string {
  const text = (name: string, value: string): readonly string[] => (value === "" ? [] : [`${name} """${value}"""`]);
  return [
    '# Modelfile generated by "ollama show"',
    `FROM ${from}`,
    ...text("TEMPLATE", template),
    ...text("SYSTEM", system),
    ...parameterLines(parameterDefaults).map(([key, value]) => `PARAMETER ${key} ${value}`),
  ].join("\n");
}

const LONGEST_LIST = 5;
const LEFT_OUT = new Set(["general.name", "tokenizer.chat_template"]);

/** Roo and AnythingLLM want a `*context_length` and the architecture, whatever the file has. */
function infoOf({ info, family, trainedContext, embeddingLength }: ShownOllamaModel): JsonObject {
  const known = {
    ...(family === null ? {} : { "general.architecture": family }),
    ...(family === null || trainedContext === null ? {} : { [`${family}.context_length`]: trainedContext }),
    ...(family === null || embeddingLength === null ? {} : { [`${family}.embedding_length`]: embeddingLength }),
  };
  const told = Object.entries(info).filter(([key]) => !LEFT_OUT.has(key));
  const short = told.map(([key, value]) => [key, Array.isArray(value) && value.length > LONGEST_LIST ? [] : value]);
  return { ...known, ...Object.fromEntries(short) };
}
