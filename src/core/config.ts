/** The configuration: file, flags, environment and side files to one frozen Config, or to all that is wrong. Pure. */
import type { z } from "zod";
import { resolveBackends } from "./config-backends.ts";
import { resolveLeaving, resolvePreload } from "./config-leaving.ts";
import { findDummies, legacyWarnings, resolveSwitches } from "./config-legacy.ts";
import { resolveModels } from "./config-models.ts";
import { resolveNodes } from "./config-nodes.ts";
import { type Problem, schemaProblems } from "./config-problems.ts";
import { resolveLimits, resolveQueue, resolveResumeWithin } from "./config-queue.ts";
import { type ConfigFile, fileSchema } from "./config-schema.ts";
import type { ConfigInput, Ledger } from "./config-sources.ts";
import type { Config, ModelSettings, ModelsConfig } from "./config-types.ts";
import { keyWarnings } from "./config-unknown.ts";
import {
  resolveApiKey,
  resolveContext,
  resolveKeys,
  resolveListen,
  resolveMeasure,
  resolveModelsDir,
  resolvePlacement,
  resolvePlain,
  resolveProbe,
  resolveUnloadIdle,
  type ValueContext,
} from "./config-values.ts";
import { fileHint } from "./config-words.ts";

export type ConfigResult =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Holds the file to its schema, then takes each value from the first source that has it (design.md section 8). */
export function resolveConfig(input: ConfigInput): ConfigResult {
  const { value, dummies } = findDummies(input.file ? input.file.value : {});
  const parsed = fileSchema.safeParse(value);
  if (!parsed.success) {
    const found = schemaProblems(parsed.error, { root: value, hint: fileHint });
    return { ok: false, problems: [...found, ...problemsBeside(input, { value, error: parsed.error, dummies })] };
  }
  const ledger: Ledger = {
    problems: [],
    warnings: [...legacyWarnings(parsed.data, dummies), ...keyWarnings(value)],
    sources: {},
  };
  if (!input.file) ledger.warnings.unshift(`${input.home}/.synapticllamas.json does not exist: defaults apply`);
  const config = gather(ledger, { input, file: parsed.data, dummies });
  checkPlacement(ledger, config);
  if (input.serving) checkListen(ledger, config);
  if (ledger.problems.length > 0) return { ok: false, problems: ledger.problems };
  return { ok: true, config: seal({ ...config, warnings: [...new Set(ledger.warnings)], sources: ledger.sources }) };
}

interface BrokenFile {
  readonly value: unknown;
  readonly error: z.ZodError;
  readonly dummies: ReadonlySet<number>;
}

/** What else is wrong where the schema holds, so that one run tells all: sections with schema problems are left out. */
function problemsBeside(input: ConfigInput, { value, error, dummies }: BrokenFile): readonly Problem[] {
  if (typeof value !== "object" || value === null) return [];
  const rest: Record<string, unknown> = { ...value };
  for (const { path } of error.issues) {
    const [top, section] = path.map(String);
    if (top === undefined) return [];
    const own = rest.synaptic;
    if (top !== "synaptic" || section === undefined || typeof own !== "object" || own === null) delete rest[top];
    else rest.synaptic = Object.fromEntries(Object.entries(own).filter(([key]) => key !== section));
  }
  const parsed = fileSchema.safeParse(rest);
  const ledger: Ledger = { problems: [], warnings: [], sources: {} };
  if (parsed.success) gather(ledger, { input, file: parsed.data, dummies });
  return ledger.problems;
}

type Gathered = Omit<Config, "warnings" | "sources">;

interface GatherContext {
  readonly input: ConfigInput;
  readonly file: ConfigFile;
  readonly dummies: ReadonlySet<number>;
}

function gather(ledger: Ledger, { input, file, dummies }: GatherContext): Gathered {
  const own = file.synaptic ?? {};
  const context: ValueContext = { input, file, own };
  const backends = resolveBackends(ledger, { input, file, dummies });
  const declared = resolveModels(ledger, input, own.models ?? {});
  const modelsDir = resolveModelsDir(ledger, context);
  const hasModels =
    declared.dirs.length > 0 || Object.keys(declared.files).length > 0 || own.ollama?.modelsDir !== undefined;
  const { contextSize, forced } = resolveContext(ledger, context);
  const listen = resolveListen(ledger, context);
  const switches = resolveSwitches(ledger, { input, file, hasBackends: backends.length > 0, hasModels });
  const nodes = resolveNodes(ledger, { input, own: own.ollama ?? {}, pool: switches.pool, listen });
  return {
    file: input.file?.path ?? null,
    listen,
    ...switches,
    backends,
    preload: resolvePreload(ledger, context, declared),
    contextSize,
    placement: resolvePlacement(ledger, context),
    models: forced ? withoutContext(declared) : declared,
    ollama: { modelsDir, nodes, unloadIdle: resolveUnloadIdle(ledger, context) },
    probe: resolveProbe(ledger, context),
    measure: resolveMeasure(ledger, context),
    ...resolvePlain(ledger, context),
    queue: resolveQueue(ledger, context),
    limits: resolveLimits(ledger, context),
    resumeWithinMs: resolveResumeWithin(ledger, context),
    ...resolveLeaving(ledger, context),
    keys: resolveKeys(ledger, context),
    apiKey: resolveApiKey(ledger, context),
  };
}

/** A context size from the command line or the environment counts before what the file says of single models. */
function withoutContext(models: ModelsConfig): ModelsConfig {
  const settings = Object.entries(models.settings).map(([id, { contextSize: _, ...rest }]): [string, ModelSettings] => [
    id,
    rest,
  ]);
  return { ...models, settings: Object.fromEntries(settings) };
}

function checkPlacement(ledger: Ledger, { placement, backends }: Gathered): void {
  const pinned = backends.some((backend) => (backend.layers ?? 0) > 0);
  if (placement === "pinned" && !pinned) {
    ledger.problems.push({
      source: null,
      key: "synaptic.backends",
      expected: 'layers for the backends, since placement is "pinned"',
      found: "none",
      hint: 'write "backends": [{"endpoint": "10.0.0.1:50052", "layers": 40}, ...] under synaptic, or choose "spread"',
    });
  } else if (placement !== "pinned" && pinned) {
    ledger.warnings.push(`synaptic.backends[].layers has no effect: placement is "${placement}", not "pinned"`);
  }
}

/** Whether only this machine can connect to the address. */
export function isLoopback(host: string): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|::1|(?:0{1,4}:){7}0{0,3}1)$/i.test(host);
}

function checkListen(ledger: Ledger, { file, listen, keys, apiKey, insecure }: Gathered): void {
  if (isLoopback(listen.host) || keys.length > 0 || apiKey !== null) return;
  if (insecure) {
    ledger.warnings.push(
      `Listening on ${listen.host} without a key (--insecure): whoever reaches this port can use it`,
    );
    return;
  }
  const origin = ledger.sources["listen.host"] ?? "";
  const fromFile = file !== null && origin.startsWith(file);
  ledger.problems.push({
    source: fromFile ? null : origin,
    key: fromFile ? "synaptic.listen.host" : "",
    expected: "a loopback address while there is no API key",
    found: JSON.stringify(listen.host),
    hint: "set SYNAPTIC_API_KEY or synaptic.keys, or pass --insecure to let in everyone who reaches this port",
  });
}

/** Freezes all of it, and hides the key from JSON, spreads and logs (Bun's inspect shows hidden values, but calls no getter). */
function seal(config: Config): Config {
  const { apiKey } = config;
  Object.defineProperty(config, "apiKey", { get: () => apiKey, enumerable: false });
  freezeDeep(config);
  return config;
}

function freezeDeep(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  for (const inner of Object.values(value)) freezeDeep(inner);
  Object.freeze(value);
}
