/** Checks of /v1/responses, with the strict clients and a reader as Codex has one. */
import { describe, expect, test } from "bun:test";
import { streamText, tool } from "ai";
import { z } from "zod";
import { RECITATION } from "../../scripts/recitation.ts";
import { aiOpenAi, openAi } from "./clients.ts";
import { failureOf, post } from "./wire.ts";
import { KINDS, MIND, RECITE, TALE, TALE_TEXT, type World } from "./world.ts";

const TEXTS: Readonly<Record<string, string>> = { [RECITE]: RECITATION, [TALE.name]: TALE_TEXT };

interface ResponseEvent {
  readonly type: string;
  readonly sequence_number?: number;
  readonly code?: string;
  readonly response?: { readonly status?: string; readonly error?: { readonly code?: string } | null };
}

/** Events as Codex reads them: the `event:` line must be the type (facts/clients.md 1a, 2a). */
function readEvents(text: string): readonly ResponseEvent[] {
  return text.split("\n\n").flatMap((block) => {
    const lines = block.split("\n").filter((line) => line !== "" && !line.startsWith(":"));
    if (lines.length === 0) return [];
    const name = lines.find((line) => line.startsWith("event: "))?.slice("event: ".length);
    const data = lines.find((line) => line.startsWith("data: "))?.slice("data: ".length) ?? "";
    // Each has a type; the checks look at the rest.
    const event = JSON.parse(data) as ResponseEvent;
    expect(name).toBe(event.type);
    return [event];
  });
}

export function responsesChecks(world: World): void {
  const { main } = world;
  const { client } = openAi(main);

  describe("responses", () => {
    test.each(KINDS)(
      "5.46 A createOpenAI()(m) streams without validation errors, N responses.stream() resolves: %s",
      async (model) => {
        const errors: unknown[] = [];
        const result = streamText({
          model: aiOpenAi(main, model),
          prompt: "Please recite.",
          onError({ error }) {
            errors.push(error);
          },
        });
        let text = "";
        for await (const part of result.fullStream) if (part.type === "text-delta") text += part.text;
        expect(errors).toEqual([]);
        expect(text).toBe(TEXTS[model] ?? "");
        expect(await result.finishReason).toBe("stop");
        expect((await result.usage).outputTokens).toBeGreaterThan(0);
        const whole = await client.responses.stream({ model, input: "Please recite." }).finalResponse();
        expect(whole).toMatchObject({ status: "completed", output_text: TEXTS[model], model });
        const plain = await client.responses.create({ model, input: "Please recite.", instructions: "Be brief." });
        expect(plain).toMatchObject({ object: "response", status: "completed", output_text: TEXTS[model] });
      },
    );

    test("5.46 A calls tools and shows reasoning through it", async () => {
      const called = streamText({
        model: aiOpenAi(main, MIND.name),
        prompt: "How is the weather?",
        tools: { weather: tool({ inputSchema: z.object({ city: z.string() }) }) },
      });
      const calls = await called.toolCalls;
      expect(calls).toMatchObject([{ toolName: "weather", input: { city: "Oslo" } }]);
      expect(await called.finishReason).toBe("tool-calls");
    });

    test.each(KINDS)(
      "5.47 a reader as Codex's sees response.completed, every event numbered in turn: %s",
      async (model) => {
        const body = {
          model,
          input: [{ role: "user", content: [{ type: "input_text", text: "Recite" }] }],
          stream: true,
        };
        const events = readEvents((await post(`${main.url}/v1/responses`, { ...body, store: false })).text);
        expect(events[0]?.type).toBe("response.created");
        expect(events.at(-1)).toMatchObject({ type: "response.completed", response: { status: "completed" } });
        expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, at) => at));
      },
    );

    test("5.47 a failure in the middle is a flat error, then response.failed", async () => {
      const node = world.startNode();
      node.manner = { withoutEnd: true };
      const { url } = await world.serve({ nodes: [node] });
      const events = readEvents(
        (await post(`${url}/v1/responses`, { model: TALE.name, input: "hi", stream: true })).text,
      );
      expect(events.slice(-2)).toMatchObject([
        { type: "error", code: "upstream_error", message: expect.any(String) },
        { type: "response.failed", response: { status: "failed", error: { code: expect.any(String) } } },
      ]);
      const failed = openAi({ url, maxRetries: 0 }).client.responses.stream({ model: TALE.name, input: "Again" });
      // openai-node throws the event itself.
      expect(await failureOf(failed.finalResponse())).toMatchObject({ code: "upstream_error" });
      const errors: unknown[] = [];
      const result = streamText({
        model: aiOpenAi({ url }, TALE.name),
        prompt: "Once more",
        maxRetries: 0,
        onError({ error }) {
          errors.push(error);
        },
      });
      await result.consumeStream();
      expect(errors.length).toBeGreaterThan(0);
    });
  });
}
