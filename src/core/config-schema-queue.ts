/** The keys `synaptic.queue` and `synaptic.limits` as schemas: who may wait, how many and how long. Pure. */
import { z } from "zod";
import { wholeNumber } from "./config-words.ts";
import { KEEP_ALIVE_PATTERN } from "./keep-alive.ts";

export const queueSchema = z
  .object(
    {
      perModel: wholeNumber(1, 100_000)
        .optional()
        .describe("The most requests that wait for one model; 256 when left out. More get 429 at once."),
      perKey: wholeNumber(1, 100_000)
        .optional()
        .describe("The most of one key among them; half of perModel when left out. Without keys it does not count."),
      longestWaitMs: wholeNumber(1_000, 86_400_000, "of milliseconds")
        .optional()
        .describe(
          "How long one waits for a slot before it gets 429, its model's load not counted; 600000 when left out.",
        ),
    },
    { error: "an object with perModel, perKey and longestWaitMs" },
  )
  .describe("Who waits while all slots of a model are taken; keys take turns.");

export const limitsSchema = z
  .object(
    {
      inFlight: wholeNumber(1, 100_000)
        .optional()
        .describe("The most requests that are answered or wait at one time, of all models; 1024 when left out."),
    },
    { error: "an object with inFlight" },
  )
  .describe("What the whole server takes on; more gets 429.");

const RESUME_EXPECTED = 'a duration such as "60s", a number of seconds, or -1 for however long it takes';
export const resumeWithinSchema = z
  .union([z.number({ error: RESUME_EXPECTED }), z.string().regex(KEEP_ALIVE_PATTERN, { error: RESUME_EXPECTED })], {
    error: RESUME_EXPECTED,
  })
  .describe(
    "How long a stream whose coordinator died waits for its model to be loaded again, to go on where it broke: " +
      '"60s", seconds, 0 ends it at once; 60 s when left out.',
  );
