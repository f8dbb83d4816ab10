/** The configuration's keys about Ollama: its store, its nodes, and sampling defaults by its names. Pure. */
import { z } from "zod";
import { flagSchema, MEMORY_PATTERN, pathSchema } from "./config-words.ts";
import { SAMPLING, type SamplingKey } from "./sampling.ts";

function samplingValue({ flag, whole, min, max }: (typeof SAMPLING)[number]) {
  const error = `a ${whole ? "whole " : ""}number from ${min} to ${max}`;
  const number = whole ? z.int({ error }) : z.number({ error });
  return number.min(min, { error }).max(max, { error }).optional().describe(`llama-server's ${flag}.`);
}

export const samplingSchema = z
  .object(
    // fromEntries loses the keys' names; they are exactly SAMPLING's.
    Object.fromEntries(SAMPLING.map((row) => [row.key, samplingValue(row)])) as Record<
      SamplingKey,
      ReturnType<typeof samplingValue>
    >,
    { error: "an object of numbers" },
  )
  .describe("Defaults for what a request leaves open: temperature, top_p, seed and the like.");

const NODES_EXPECTED = "a list of addresses, or of objects with url";

const nodeSchema = z.union(
  [
    z.string(),
    z.object({
      url: z.string().describe("Its address: a host, host:port or URL."),
      weight: z.number().positive().max(1_000).optional().describe("How much it is given; 1 when left out."),
      priority: z.int().min(-1_000).max(1_000).optional().describe("Larger is used earlier; 0 when left out."),
      memory: z
        .union([z.int().positive(), z.string().regex(MEMORY_PATTERN)])
        .optional()
        .describe('Its fast memory, such as "24GiB".'),
    }),
  ],
  {
    error:
      'an address such as "http://10.0.0.5:11434", or an object with url and perhaps weight (above 0), priority (a whole number) and memory (such as "24GiB")',
  },
);

export const ollamaSchema = z
  .object(
    {
      modelsDir: pathSchema
        .optional()
        .describe("Ollama's folder with blobs and manifests; without it OLLAMA_MODELS, then the usual places."),
      nodes: z
        .array(nodeSchema, { error: NODES_EXPECTED })
        .optional()
        .describe(
          "Ollamas to watch; [] for none. Without it OLLAMA_HOST, SynapticLlamas' own list, then this machine.",
        ),
      unloadIdle: flagSchema
        .optional()
        .describe("Unload models of Ollama that nobody uses when a model needs their memory; on when left out."),
    },
    { error: "an object with modelsDir, nodes and unloadIdle" },
  )
  .describe("What to take from Ollama.");
