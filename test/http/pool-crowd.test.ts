/** Ten clients on four nodes, one of which dies among them (issue 4). */
import { afterEach, expect, test } from "bun:test";
import { clearPools, setPool } from "./pool-stage.ts";

afterEach(clearPools);

const PIECES = Array.from({ length: 20 }, (_, index) => ` w${index}`);
const WHOLE = PIECES.join("");

interface Outcome {
  readonly text: string;
  readonly code: string | null;
}

test("a node that dies costs the streams that it had begun an error in the client's dialect, and nobody else anything", async () => {
  const { nodes, client } = await setPool(4, { node: { priority: 0 } });
  for (const node of nodes) {
    node.pieces = PIECES;
    // Time enough for all to be under way when it dies.
    node.manner = { before: () => new Promise((resolve) => setTimeout(resolve, 5)) };
  }
  const victim = nodes[1];
  const died = Promise.withResolvers<void>();

  const ask = async (name: string): Promise<Outcome> => {
    let text = "";
    try {
      const messages = [{ role: "user" as const, content: name }];
      for await (const chunk of await client.chat.completions.create({ model: "m", stream: true, messages })) {
        text += chunk.choices[0]?.delta.content ?? "";
        if (text !== "" && (victim?.bodies.length ?? 0) > 0) void victim?.stop().then(died.resolve);
      }
      return { text, code: null };
    } catch (error) {
      return { text, code: error instanceof Error && "code" in error ? String(error.code) : String(error) };
    }
  };

  const first = Array.from({ length: 10 }, (_, index) => ask(`first ${index}`));
  await died.promise;
  const second = await Promise.all(Array.from({ length: 10 }, (_, index) => ask(`second ${index}`)));
  expect(second).toEqual(Array.from({ length: 10 }, () => ({ text: WHOLE, code: null })));
  const outcomes = await Promise.all(first);
  const broken = outcomes.filter(({ code }) => code !== null);
  expect(outcomes.filter(({ code }) => code === null).every(({ text }) => text === WHOLE)).toBe(true);
  expect(broken.length).toBeGreaterThan(0);
  expect(broken.length).toBeLessThanOrEqual(victim?.bodies.length ?? 0);
  for (const { text, code } of broken) {
    expect(code).toBe("upstream_error");
    expect(text).not.toBe("");
    expect(WHOLE.startsWith(text)).toBe(true);
  }
});
