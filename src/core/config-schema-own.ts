/** Our own part of the configuration file, the key `synaptic`, as a schema. Pure. */
import { z } from "zod";
import { keepAliveSchema, swapSchema } from "./config-schema-leaving.ts";
import { ollamaSchema, samplingSchema } from "./config-schema-ollama.ts";
import { limitsSchema, queueSchema, resumeWithinSchema } from "./config-schema-queue.ts";
import {
  ENDPOINT_EXPECTED,
  flagSchema,
  listenHostSchema,
  MEMORY_PATTERN,
  pathSchema,
  portSchema,
  wholeNumber,
} from "./config-words.ts";

const LATER = "Known, not used yet in this version of synaptic.";

/** Keys of the design that this version accepts without effect, by the place they stand at. */
export const LATER_KEYS = {
  backend: ["mac"],
  settings: ["fallback"],
} as const;

/** Keys that are known by name only: whatever stands there is accepted. */
export function knownByName<K extends string>(
  keys: readonly K[],
  description: string,
): { [key in K]: z.ZodOptional<z.ZodUnknown> } {
  const entries = keys.map((key) => [key, z.unknown().optional().describe(description)]);
  // fromEntries loses the keys' names; they are exactly K by the line above.
  return Object.fromEntries(entries) as { [key in K]: z.ZodOptional<z.ZodUnknown> };
}

const text = (error: string): z.ZodString => z.string({ error }).min(1, { error });
const paths = z.array(pathSchema, { error: "a list of paths" });
const PATHS_EXPECTED = "a path or a list of paths";
const argument = z.string({ error: "a text (one argument)" });

const MEMORY_EXPECTED = 'a size such as "12GiB" or a number of bytes above 0';
const HASH_EXPECTED = '"sha256:" and 64 hexadecimal digits';
const NAME_EXPECTED = "a name of at most 64 letters, digits and . _ @ -";

export const contextSchema = wholeNumber(1, 16_777_216, "of tokens").describe(
  "Tokens of context; without it the smaller of what the model was trained for and 32768.",
);
export const placementSchema = z
  .enum(["fewest", "spread", "pinned", "resilient"], { error: '"fewest", "spread", "pinned" or "resilient"' })
  .describe(
    "fewest: as few and as fast backends as fit. spread: all usable ones by free memory. pinned: by backends[].layers. " +
      "resilient: as fewest, where the other backends would hold the model after the loss of any one.",
  );
const parallelSchema = wholeNumber(1, 256).describe("Requests answered at the same time by one model.");
const kvTypeSchema = z
  .enum(["f16", "q8_0", "q4_0"], { error: '"f16", "q8_0" or "q4_0"' })
  .describe("Number format of the KV cache.");

const backendSchema = z
  .object(
    {
      endpoint: z
        .string({ error: ENDPOINT_EXPECTED })
        .regex(/^[^\s:/,]+(?::\d{1,5})?$/, { error: ENDPOINT_EXPECTED })
        .describe("host:port of the backend (port 50052 when left out)."),
      maxMemory: z
        .union(
          [
            z.int({ error: MEMORY_EXPECTED }).positive({ error: MEMORY_EXPECTED }),
            z.string().regex(MEMORY_PATTERN, { error: MEMORY_EXPECTED }),
          ],
          { error: MEMORY_EXPECTED },
        )
        .optional()
        .describe('The most that a plan may use there, such as "12GiB".'),
      layers: wholeNumber(0, 10_000).optional().describe('Layers (output head included) for placement "pinned".'),
      priority: wholeNumber(-1000, 1000).optional().describe("Larger is used earlier; 0 when left out."),
      ownDevice: flagSchema
        .optional()
        .describe("Its accelerators are its own, although another backend of its machine reports the same memory."),
      exclude: flagSchema.optional().describe("Never use this backend."),
      ...knownByName(LATER_KEYS.backend, LATER),
    },
    { error: "an object with endpoint" },
  )
  .describe("What to know of one backend beyond its address.");

const settingsSchema = z
  .object(
    {
      args: z
        .array(argument, { error: "a list of texts, one argument each" })
        .optional()
        .describe("More llama-server arguments; those that placement decides are refused."),
      env: z
        .record(z.string(), z.string({ error: "a text" }), { error: "an object of texts" })
        .optional()
        .describe("Environment of this model's llama-server."),
      contextSize: contextSchema.optional(),
      parallel: parallelSchema.optional(),
      kvType: kvTypeSchema.optional(),
      aliases: z
        .array(text("a model name"), { error: "a list of model names" })
        .optional()
        .describe("Other names of this model."),
      route: z
        .enum(["pool", "shard"], { error: '"pool" or "shard"' })
        .optional()
        .describe("Where it runs, whatever fits where: on a node of the pool, or on the shards."),
      keepAlive: keepAliveSchema
        .optional()
        .describe("How long this model stays loaded unused; without it what synaptic.keepAlive says."),
      pin: flagSchema
        .optional()
        .describe("Once loaded it stays: neither a lack of use nor another model's need of room ends it."),
      preload: flagSchema.optional().describe("Load it at the start, before the first request."),
      mmproj: pathSchema.optional().describe("Projector (.gguf) for images or sound; it stays on the head node."),
      draft: pathSchema.optional().describe("Small model (.gguf) that drafts for this one; it stays on the head node."),
      sampling: samplingSchema.optional(),
      ...knownByName(LATER_KEYS.settings, LATER),
    },
    { error: "an object of settings" },
  )
  .describe("Settings of one model.");

const modelsSchema = z
  .object(
    {
      dirs: paths.optional().describe("Folders with .gguf files; relative ones start at this file's folder."),
      files: z
        .record(z.string(), pathSchema, { error: "an object of model name to path" })
        .optional()
        .describe("Model name to .gguf file."),
      settings: z
        .record(z.string(), settingsSchema, { error: "an object of model name to settings" })
        .optional()
        .describe("Model name to its settings."),
    },
    { error: "an object with dirs, files and settings" },
  )
  .describe("Where models are and how each is run.");

const listenSchema = z
  .object(
    {
      host: listenHostSchema.optional().describe("127.0.0.1 when left out; beyond loopback a key is needed."),
      port: portSchema.optional().describe("11400 when left out."),
      hosts: z
        .array(listenHostSchema, { error: "a list of host names" })
        .optional()
        .describe(
          "Names by which clients call it on loopback, such as that of a proxy in front; localhost and host.docker.internal are taken always.",
        ),
    },
    { error: "an object with host, port and hosts" },
  )
  .describe("Where clients reach synaptic; 127.0.0.1:11400 when left out.");

const probeSchema = z
  .object(
    {
      intervalMs: wholeNumber(100, 3_600_000, "of milliseconds")
        .optional()
        .describe("Time between two probes of a backend; 5000 when left out."),
      failures: wholeNumber(1, 100)
        .optional()
        .describe("Failed probes in a row that make a backend down; 3 when left out."),
      successes: wholeNumber(1, 100).optional().describe("Good probes in a row that bring it back; 2 when left out."),
      timeoutMs: wholeNumber(10, 9_000, "of milliseconds")
        .optional()
        .describe("When a probe counts as failed; 2000 when left out."),
    },
    { error: "an object with intervalMs, failures, successes and timeoutMs" },
  )
  .describe("How backends are watched.");

const measureSchema = z
  .object(
    {
      idleMs: wholeNumber(0, 86_400_000, "of milliseconds")
        .optional()
        .describe(
          "How long no request and no load must have been there before a backend that was never timed is; 60000 when left out, 0 = never by itself.",
        ),
    },
    { error: "an object with idleMs" },
  )
  .describe("How fast each backend is: timed once, for a few seconds, with a small model of our own.");

const keySchema = z.object(
  {
    name: z
      .string({ error: NAME_EXPECTED })
      .regex(/^[\w.@-]{1,64}$/, { error: NAME_EXPECTED })
      .describe("Who has it: shown in logs instead of the key."),
    hash: z
      .string({ error: HASH_EXPECTED })
      .regex(/^sha256:[0-9a-fA-F]{64}$/, { error: HASH_EXPECTED })
      .describe("sha256: and the hex SHA-256 of a generated random key."),
    scopes: z
      .array(z.enum(["use", "admin"], { error: '"use" or "admin"' }), { error: 'a list of "use" and "admin"' })
      .min(1, { error: 'at least one of "use" and "admin"' })
      .describe("use: the API. admin: load and unload too."),
  },
  { error: "an object with name, hash and scopes" },
);

export const synapticSchema = z
  .object(
    {
      listen: listenSchema.optional(),
      llamaServer: z
        .union([pathSchema, paths.min(1, { error: PATHS_EXPECTED })], { error: PATHS_EXPECTED })
        .optional()
        .describe(
          "llama-server to run; of several builds, the one whose protocol suits most backends, the first where they are equal.",
        ),
      contextSize: contextSchema.optional(),
      parallel: parallelSchema.optional(),
      kvType: kvTypeSchema.optional(),
      placement: placementSchema.optional(),
      models: modelsSchema.optional(),
      backends: z
        .array(backendSchema, { error: "a list of backends" })
        .optional()
        .describe("Limits and wishes for single backends; defines them when rpc_backends is absent."),
      probe: probeSchema.optional(),
      measure: measureSchema.optional(),
      keys: z.array(keySchema, { error: "a list of keys" }).optional().describe("API keys, kept as hashes."),
      holdMs: wholeNumber(0, 600_000, "of milliseconds")
        .optional()
        .describe(
          "How long a client without streaming is held while a model loads or its slots are taken; 50000 when left out.",
        ),
      queue: queueSchema.optional(),
      limits: limitsSchema.optional(),
      resumeWithin: resumeWithinSchema.optional(),
      keepAlive: keepAliveSchema
        .optional()
        .describe(
          'How long models stay loaded unused: "10m", seconds, 0 ends them as soon as they are idle; for ever when left out.',
        ),
      swap: swapSchema.optional(),
      ollama: ollamaSchema.optional(),
    },
    { error: "an object" },
  )
  .describe("synaptic's own settings; SynapticLlamas ignores this key.");

export type SynapticFile = z.infer<typeof synapticSchema>;
