/** The whole configuration file as a schema, the single source of types and of the JSON Schema. Pure. */
import { z } from "zod";
import { knownByName, synapticSchema } from "./config-schema-own.ts";
import { flagSchema, hostSchema, portSchema } from "./config-words.ts";

const THEIRS = "SynapticLlamas' own; synaptic ignores it.";

const IGNORED_KEYS = [
  ...["mode", "collaborative_mode", "refinement_rounds", "ast_voting_enabled", "quality_threshold"],
  ...["max_quality_retries", "flockparser_enabled", "flockparser_url", "dashboard_verbose", "dashboard_enable_dask"],
  ...["synthesis_model", "strategy", "redis_logging_enabled", "redis_host", "redis_port", "redis_db"],
  ...["redis_password", "embedding_model", "ollama_url", "lazy_init"],
] as const;

const rpcBackendSchema = z.looseObject(
  {
    host: hostSchema.describe("Name or IPv4 address of a machine that runs llama.cpp's rpc-server."),
    port: portSchema.optional().describe("50052 when left out."),
  },
  { error: 'an object such as {"host": "10.0.0.1", "port": 50052}' },
);

const timeoutExpected = "a number of seconds from 1 to 86400";

export const fileSchema = z
  .object(
    {
      $schema: z.string({ error: "the address of a JSON Schema" }).optional().describe("For editors."),
      rpc_backends: z
        .array(rpcBackendSchema, { error: 'a list of objects such as {"host": "10.0.0.1", "port": 50052}' })
        .optional()
        .describe("The machines that share a model; extra keys that SynapticLlamas' discovery adds are ignored."),
      model_sharding_enabled: flagSchema
        .optional()
        .describe("Spread models over rpc_backends; on when left out and backends are given."),
      distributed_inference_enabled: flagSchema
        .optional()
        .describe("Old name of model_sharding_enabled; wins when both are given."),
      task_distribution_enabled: flagSchema.optional().describe("Use the pool of Ollama nodes; on when left out."),
      model: z
        .string({ error: "a model name or null" })
        .min(1, { error: "a model name or null" })
        .nullable()
        .optional()
        .describe("The model to load at the start."),
      agent_timeout: z
        .number({ error: timeoutExpected })
        .min(1, { error: timeoutExpected })
        .max(86_400, { error: timeoutExpected })
        .optional()
        .describe("Longest silence of an answer in seconds; 300 when left out."),
      coordinator_url: z
        .unknown()
        .optional()
        .describe("SynapticLlamas' coordinator; ignored, since synaptic runs its own."),
      ...knownByName(IGNORED_KEYS, THEIRS),
      synaptic: synapticSchema.optional(),
    },
    { error: "an object: { ... }" },
  )
  .describe(
    "~/.synapticllamas.json as SynapticLlamas writes it, with synaptic's own settings under one key. Never written by synaptic.",
  );

export type ConfigFile = z.infer<typeof fileSchema>;

/** The JSON Schema (draft 7, which editors know best) of the configuration file. */
export function configJsonSchema(): Record<string, unknown> {
  const { $schema, ...rest } = z.toJSONSchema(fileSchema, { target: "draft-7" });
  return { $schema, title: "synaptic configuration", ...rest };
}
