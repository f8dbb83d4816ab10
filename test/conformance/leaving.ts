/** Checks of clients that leave: whoever answered them stops at once. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { until } from "../e2e/program.ts";
import type { Synaptic } from "../e2e/synaptic.ts";
import { openAi } from "./clients.ts";
import { ASK, failureOf, post } from "./wire.ts";
import { ENDLESS, RECITE, TALE, type World } from "./world.ts";

/** How many slots compute, as llama-server itself says. */
async function slotsAtWork(synaptic: Synaptic): Promise<number> {
  const { pid, plan } = await synaptic.coordinator(RECITE);
  const key = /(?:^|\0)LLAMA_API_KEY=([^\0]+)/.exec(readFileSync(`/proc/${pid}/environ`, "utf8"))?.[1];
  const port = plan?.command[plan.command.indexOf("--port") + 1];
  const answer = await fetch(`http://127.0.0.1:${port}/slots`, { headers: { authorization: `Bearer ${key}` } });
  // llama-server's own list (facts/llamacpp.md).
  const slots = (await answer.json()) as readonly { readonly is_processing: boolean }[];
  return slots.filter(({ is_processing }) => is_processing).length;
}

export function leavingChecks(world: World): void {
  describe("leaving", () => {
    test("5.22 a client that leaves ends the answer of a node within 1 s", async () => {
      const node = world.startNode();
      node.pieces = Array.from({ length: 10_000 }, () => "on and ");
      node.manner = { before: () => Bun.sleep(20) };
      const { url } = await world.serve({ nodes: [node] });
      const stream = await openAi({ url }).client.chat.completions.create({
        model: TALE.name,
        messages: ASK,
        stream: true,
      });
      for await (const { choices } of stream) if (choices[0]?.delta.content) break;
      expect(node.running()).toBe(1);
      const left = performance.now();
      stream.controller.abort();
      await until("the node's end", () => (node.running() === 0 ? true : null));
      expect(performance.now() - left).toBeLessThan(1_000);
      // Also before its first byte.
      node.manner = { before: () => new Promise(() => {}) };
      const gone = new AbortController();
      const asked = post(
        `${url}/v1/chat/completions`,
        { model: TALE.name, messages: ASK, stream: true },
        { signal: gone.signal },
      );
      await until("it asked", () => (node.running() === 1 ? true : null));
      gone.abort();
      await failureOf(asked);
      await until("the node's end", () => (node.running() === 0 ? true : null));
    });

    // llama-server's key is read from /proc.
    test.skipIf(process.platform !== "linux")(
      "5.22 a client that leaves ends the answer of the coordinator within 1 s",
      async () => {
        const { main } = world;
        const gone = new AbortController();
        let left = 0;
        const body = { model: RECITE, messages: ASK, stream: true, ...ENDLESS };
        await post(`${main.url}/v1/chat/completions`, body, {
          signal: gone.signal,
          onText() {
            if (left > 0) return;
            left = performance.now();
            gone.abort();
          },
        });
        // Its own word: what synaptic counts would be free at once.
        await until("llama-server's rest", async () => ((await slotsAtWork(main)) === 0 ? true : null));
        expect(performance.now() - left).toBeLessThan(1_000);
      },
    );
  });
}
