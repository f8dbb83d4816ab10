/** Every check of facts/clients.md section 5 as one test, its number in its name: `npm run conformance`. */
import { afterAll } from "bun:test";
import { anthropicChecks } from "./anthropic.ts";
import { chatChecks } from "./chat.ts";
import { embeddingChecks } from "./embeddings.ts";
import { errorChecks } from "./errors.ts";
import { failureChecks } from "./failures.ts";
import { guardChecks } from "./guards.ts";
import { leavingChecks } from "./leaving.ts";
import { listingChecks } from "./listings.ts";
import { nodeChecks } from "./node.ts";
import { ollamaChecks } from "./ollama.ts";
import { responsesChecks } from "./responses.ts";
import { toolChecks } from "./tools.ts";
import { startSlow, waitingChecks } from "./waiting.ts";
import { openWorld } from "./world.ts";

const world = await openWorld();
afterAll(async () => await world[Symbol.asyncDispose]());
// What takes a minute goes on beside all others.
const slow = startSlow(world);

nodeChecks();
chatChecks(world);
failureChecks(world);
leavingChecks(world);
errorChecks(world);
guardChecks(world);
listingChecks(world);
ollamaChecks(world);
toolChecks(world);
embeddingChecks(world);
responsesChecks(world);
anthropicChecks(world);
waitingChecks(slow);
