/** Checks of tools, reasoning, JSON and probabilities: over a scripted node, and where it can be over the coordinator. */
import { describe, expect, test } from "bun:test";
import { generateObject, generateText, jsonSchema, streamText, tool } from "ai";
import { z } from "zod";
import { chatOpenAi, compatible, ollama, openAi } from "./clients.ts";
import { ASK, messages, openAiErrorOf, post, readSse } from "./wire.ts";
import { KINDS, MIND, RECITE, TALE, TALE_TEXT, type World } from "./world.ts";

const PARAMETERS = { type: "object", required: ["city"], properties: { city: { type: "string" } } };
const WEATHER = {
  type: "function",
  function: { name: "weather", description: "Tells the weather.", parameters: PARAMETERS },
} as const;

export function toolChecks({ main, node }: World): void {
  const { client } = openAi(main);

  describe("tools and the like", () => {
    test("5.32 N: calls have id, type, name and arguments as a text, finish_reason tool_calls, stream and not; O gets an object", async () => {
      const body = { model: MIND.name, messages: ASK, tools: [WEATHER] };
      const whole = await client.chat.completions.create(body);
      const streamed = await client.chat.completions.stream(body).finalChatCompletion();
      for (const { choices } of [whole, streamed]) {
        expect(choices[0]?.finish_reason).toBe("tool_calls");
        const [call] = choices[0]?.message.tool_calls ?? [];
        expect(call).toMatchObject({ id: expect.stringMatching(/./), type: "function", function: { name: "weather" } });
        expect(call?.type === "function" && call.function.arguments).toBe('{"city":"Oslo"}');
      }
      const own = await ollama(main).chat({ model: MIND.name, messages: ASK, tools: [WEATHER] });
      expect(own.message.tool_calls?.[0]?.function).toMatchObject({ name: "weather", arguments: { city: "Oslo" } });
    });

    test("5.33 a round trip works on a node: N, A and O", async () => {
      const first = await client.chat.completions.create({ model: MIND.name, messages: ASK, tools: [WEATHER] });
      const message = first.choices[0]?.message;
      const id = message?.tool_calls?.[0]?.id ?? "";
      const second = await client.chat.completions.create({
        model: MIND.name,
        messages: [
          ...ASK,
          { role: "assistant", content: null, tool_calls: message?.tool_calls ?? [] },
          { role: "tool", tool_call_id: id, content: "4 degrees" },
        ],
        tools: [WEATHER],
      });
      expect(second.choices[0]?.message.content).toBe("The tool says 4 degrees");
      const cities: string[] = [];
      const { steps, text } = await generateText({
        model: compatible(main, MIND.name),
        prompt: "How is the weather?",
        tools: {
          weather: tool({
            inputSchema: z.object({ city: z.string() }),
            execute({ city }) {
              cities.push(city);
              return "4 degrees";
            },
          }),
        },
        stopWhen: ({ steps }) => steps.length === 2,
      });
      expect([cities, steps.length]).toEqual([["Oslo"], 2]);
      expect(text).toStartWith("The tool says");
      const own = ollama(main);
      const called = await own.chat({ model: MIND.name, messages: ASK, tools: [WEATHER] });
      const told = { role: "tool", tool_name: "weather", content: "4 degrees" };
      const answer = await own.chat({ model: MIND.name, messages: [...ASK, called.message, told], tools: [WEATHER] });
      expect(answer.message.content).toBe("The tool says 4 degrees");
    });

    test("5.33 a history with a call and its result is taken by the coordinator", async () => {
      const call = {
        id: "call_1",
        type: "function",
        function: { name: "weather", arguments: '{"city":"Oslo"}' },
      } as const;
      const answer = await client.chat.completions.create({
        model: RECITE,
        messages: [
          ...ASK,
          { role: "assistant", content: "", tool_calls: [call] },
          { role: "tool", tool_call_id: "call_1", content: "4 degrees" },
        ],
        tools: [WEATHER],
        max_tokens: 8,
      });
      expect(answer.choices).toHaveLength(1);
    });

    test("5.38 reasoning arrives as reasoning_content and reasoning; A shows it, L has it in additional_kwargs", async () => {
      const body = { model: MIND.name, messages: ASK, reasoning_effort: "high", stream: true };
      const { chunks, text } = readSse((await post(`${main.url}/v1/chat/completions`, body)).text);
      const deltas = chunks.map(({ choices }) => choices?.[0]?.delta ?? {});
      for (const key of ["reasoning", "reasoning_content"] as const) {
        expect(deltas.map((delta) => delta[key] ?? "").join("")).toBe("The user asks.");
      }
      expect(text).toBe(TALE_TEXT);
      const result = streamText({
        model: compatible(main, MIND.name),
        prompt: "Please recite.",
        providerOptions: { synaptic: { reasoningEffort: "high" } },
      });
      let reasoning = "";
      for await (const part of result.fullStream) if (part.type === "reasoning-delta") reasoning += part.text;
      expect(reasoning).toBe("The user asks.");
      expect(await result.text).toBe(TALE_TEXT);
      // Its own option is sent only to models whose names it knows.
      const chain = chatOpenAi({ ...main, more: { reasoning_effort: "high" } }, MIND.name);
      const answer = await chain.invoke("Please recite.");
      expect(answer.content).toBe(TALE_TEXT);
      expect(answer.additional_kwargs.reasoning_content).toBe("The user asks.");
      const whole = await post(`${main.url}/v1/chat/completions`, { ...body, stream: false });
      expect(JSON.parse(whole.text)).toMatchObject({
        choices: [
          { message: { reasoning: "The user asks.", reasoning_content: "The user asks.", content: TALE_TEXT } },
        ],
      });
    });

    test("5.40 A generateObject gets what its schema says, from a node and from the coordinator; an unknown type is 400", async () => {
      const { object } = await generateObject({
        model: compatible(main, MIND.name),
        schema: z.object({ city: z.string(), degrees: z.number() }),
        prompt: "Weather?",
      });
      expect(object).toEqual({ city: "Oslo", degrees: 3 });
      expect(node.bodies.at(-1)).toMatchObject({ format: { type: "object" } });
      const strict = await generateObject({
        model: compatible(main, RECITE),
        schema: jsonSchema<{ fine: true }>({
          type: "object",
          properties: { fine: { type: "boolean", const: true } },
          required: ["fine"],
          additionalProperties: false,
        }),
        prompt: "Is all well?",
        maxOutputTokens: 100,
      });
      expect(strict.object).toEqual({ fine: true });
      for (const model of KINDS) {
        const body = { model, messages: ASK, response_format: { type: "yaml" } };
        const { status, text } = await post(`${main.url}/v1/chat/completions`, body);
        expect([model, status]).toEqual([model, 400]);
        openAiErrorOf(text);
      }
    });

    test.each(KINDS)("5.51 logprobs have OpenAI's shape, and what does not go together is 400: %s", async (model) => {
      const body = { model, messages: messages("Please recite."), logprobs: true, top_logprobs: 2, max_tokens: 2 };
      const { choices } = await client.chat.completions.create(body);
      const content = choices[0]?.logprobs?.content ?? [];
      expect(content).toHaveLength(2);
      for (const { token, logprob, bytes, top_logprobs } of content) {
        expect([typeof token, typeof logprob, Array.isArray(bytes)]).toEqual(["string", "number", true]);
        expect(top_logprobs).toHaveLength(2);
        for (const top of top_logprobs) expect([typeof top.token, typeof top.logprob]).toEqual(["string", "number"]);
      }
      for (const odd of [{ top_logprobs: 2, logprobs: false }, { logprobs: "yes" }]) {
        const { status, text } = await post(`${main.url}/v1/chat/completions`, { model, messages: ASK, ...odd });
        expect([JSON.stringify(odd), status]).toEqual([JSON.stringify(odd), 400]);
        openAiErrorOf(text);
      }
      expect(TALE.name).toBeString();
    });
  });
}
