/** Checks of /v1/messages, with Anthropic's own SDK. */
import { describe, expect, test } from "bun:test";
import Anthropic from "@anthropic-ai/sdk";
import { RECITATION } from "../../scripts/recitation.ts";
import { anthropic } from "./clients.ts";
import { ASK, failureOf, post } from "./wire.ts";
import { KINDS, MIND, RECITE, TALE, TALE_TEXT, type World } from "./world.ts";

const TEXTS: Readonly<Record<string, string>> = { [RECITE]: RECITATION, [TALE.name]: TALE_TEXT };
const MOST = { max_tokens: 500, messages: ASK };
const WEATHER = {
  name: "weather",
  input_schema: { type: "object" as const, properties: { city: { type: "string" } } },
};

export function anthropicChecks(world: World): void {
  const { main } = world;
  const { client } = anthropic(main);

  describe("messages", () => {
    test.each(KINDS)("5.48 C messages.create and stream pass, ?beta=true too: %s", async (model) => {
      const whole = await client.messages.create({ model, ...MOST });
      expect(whole).toMatchObject({ type: "message", role: "assistant", model, stop_reason: "end_turn" });
      expect(whole.content).toMatchObject([{ type: "text", text: TEXTS[model] }]);
      expect(whole.usage.output_tokens).toBeGreaterThan(0);
      const stream = client.messages.stream({ model, ...MOST, system: "Be brief." });
      expect(await stream.finalText()).toBe(TEXTS[model] ?? "");
      const beta = await client.beta.messages.create({ model, ...MOST, betas: ["interleaved-thinking-2025-05-14"] });
      expect(beta.content).toMatchObject([{ type: "text", text: TEXTS[model] }]);
      const short = await client.messages.create({ model, ...MOST, max_tokens: 2 });
      expect(short.stop_reason).toBe("max_tokens");
    });

    test("5.48 C gets tool_use, whole and streamed, and gives the result back", async () => {
      const body = { model: MIND.name, ...MOST, tools: [WEATHER] };
      const whole = await client.messages.create(body);
      const streamed = await client.messages.stream(body).finalMessage();
      for (const message of [whole, streamed]) {
        expect(message.stop_reason).toBe("tool_use");
        expect(message.content.at(-1)).toMatchObject({ type: "tool_use", name: "weather", input: { city: "Oslo" } });
      }
      const used = whole.content.find((block) => block.type === "tool_use");
      const told = await client.messages.create({
        ...body,
        messages: [
          ...ASK,
          { role: "assistant", content: whole.content },
          { role: "user", content: [{ type: "tool_result", tool_use_id: used?.id ?? "", content: "4 degrees" }] },
        ],
      });
      expect(told.content).toMatchObject([{ type: "text", text: "The tool says 4 degrees" }]);
    });

    test("5.48 errors are typed: unknown model, bad request, overloaded, and one in the middle", async () => {
      const { client: once } = anthropic({ ...main, maxRetries: 0 });
      const unknown = await failureOf(once.messages.create({ model: "nothing:1b", ...MOST }));
      expect(unknown).toBeInstanceOf(Anthropic.NotFoundError);
      const bad = await failureOf(once.post("/v1/messages", { body: { model: RECITE } }));
      expect(bad).toBeInstanceOf(Anthropic.BadRequestError);
      const node = world.startNode();
      const { url } = await world.serve({ nodes: [node] });
      const { client: other } = anthropic({ url, maxRetries: 0 });
      node.manner = { withoutEnd: true };
      const broken = await failureOf(other.messages.stream({ model: TALE.name, ...MOST }).finalMessage());
      expect(broken).toBeInstanceOf(Anthropic.APIError);
      await node.stop();
      await failureOf(other.messages.create({ model: TALE.name, ...MOST }));
      const overloaded = await failureOf(other.messages.create({ model: TALE.name, ...MOST }));
      expect(overloaded).toMatchObject({ status: 529, error: { error: { type: "overloaded_error" } } });
    });

    test("5.49 two turns that differ only in Claude Code's billing block hit the prefix cache", async () => {
      const turn = (cch: string) => ({
        model: RECITE,
        max_tokens: 4,
        system: [
          { type: "text" as const, text: `x-anthropic-billing-header: cc_version=2.1; cch=${cch};` },
          {
            type: "text" as const,
            text: "You recite texts, exactly as you learned them, and add nothing of your own.",
          },
        ],
        messages: ASK,
      });
      await client.messages.create(turn("aaaaa"));
      const { usage } = await client.messages.create(turn("zzzzz"));
      // All but the last tokens; what comes before the `cch` would be found without the strip, too.
      expect(usage.cache_read_input_tokens ?? 0).toBeGreaterThan(20);
      expect(usage.input_tokens).toBeLessThan(10);
    });

    test("5.50 count_tokens answers, or is a clean 404", async () => {
      for (const model of KINDS) {
        const body = { model, messages: ASK };
        const { status, text } = await post(`${main.url}/v1/messages/count_tokens?beta=true`, body);
        if (status === 200) expect(JSON.parse(text).input_tokens).toBeGreaterThan(0);
        else expect([status, JSON.parse(text).type]).toEqual([404, "error"]);
      }
    });
  });
}
