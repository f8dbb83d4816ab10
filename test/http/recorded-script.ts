/** A coordinator that answers what the real one did (test/core/translate/recorded). */
import { recorded } from "../core/translate/recorded.ts";
import type { Script } from "../fakes/llama-server.ts";

export function answerRecorded(name: string): Script {
  return async (reply) => {
    const bytes = recorded(name);
    if (!name.endsWith("-stream")) return reply.whole(200, bytes);
    await reply.head();
    await reply.chunk(bytes);
    await reply.end();
  };
}
