/** How long models stay loaded, as the configuration file says it: the schemas. Pure. */
import { z } from "zod";
import { wholeNumber } from "./config-words.ts";
import { KEEP_ALIVE_PATTERN } from "./keep-alive.ts";

const KEEP_ALIVE_EXPECTED = 'a duration such as "10m", a number of seconds, or -1 for ever';
export const keepAliveSchema = z.union(
  [z.number({ error: KEEP_ALIVE_EXPECTED }), z.string().regex(KEEP_ALIVE_PATTERN, { error: KEEP_ALIVE_EXPECTED })],
  { error: KEEP_ALIVE_EXPECTED },
);

export const swapSchema = z
  .object(
    {
      longestWaitMs: wholeNumber(0, 3_600_000, "of milliseconds")
        .optional()
        .describe("Once a request has waited this long for room, a model in use makes some; 10000 when left out."),
      leastResidencyMs: wholeNumber(0, 86_400_000, "of milliseconds")
        .optional()
        .describe("A model in use is left loaded for at least this long; 30000 when left out."),
    },
    { error: "an object with longestWaitMs and leastResidencyMs" },
  )
  .describe("When a model that is in use makes room for another; running answers always come to their end.");
