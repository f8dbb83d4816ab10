/** Checks of whole and streamed chats through OpenAI's API, on both kinds of upstream. */
import { describe, expect, test } from "bun:test";
import { RECITATION } from "../../scripts/recitation.ts";
import { chatOpenAi, openAi } from "./clients.ts";
import { ASK, messages, post, readSse } from "./wire.ts";
import { KINDS, MIND, RECITE, TALE, TALE_TEXT, type World } from "./world.ts";

const TEXTS: Readonly<Record<string, string>> = { [RECITE]: RECITATION, [TALE.name]: TALE_TEXT };

/** One blue pixel. */
const PNG =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPj/HwADBwIAMCbHYQAAAABJRU5ErkJggg==";

export function chatChecks({ main, node }: World): void {
  const { client } = openAi(main);
  const chat = (body: object) => post(`${main.url}/v1/chat/completions`, body);

  describe("chat", () => {
    test.each(KINDS)(
      "5.1 a whole answer has id, object, created, model as sent, one choice, finish_reason: %s",
      async (model) => {
        const answer = await client.chat.completions.create({ model, messages: ASK });
        expect(answer).toMatchObject({ object: "chat.completion", model, id: expect.stringMatching(/^chatcmpl-./) });
        expect(Number.isInteger(answer.created)).toBe(true);
        expect(answer.choices).toHaveLength(1);
        expect(answer.choices[0]?.finish_reason).toBe("stop");
        expect(answer.choices[0]?.message).toMatchObject({ role: "assistant", content: TEXTS[model] });
      },
    );

    test.each(KINDS)(
      "5.2 a stream starts with the role, has one finish_reason, [DONE], and one id, created and model: %s",
      async (model) => {
        const raw = await chat({ model, messages: ASK, stream: true });
        expect(raw.headers.get("content-type")).toStartWith("text/event-stream");
        const { chunks, text, done } = readSse(raw.text);
        expect([text, done]).toEqual([TEXTS[model] ?? "", true]);
        expect(chunks[0]?.choices?.[0]?.delta?.role).toBe("assistant");
        const reasons = chunks.map(({ choices }) => choices?.[0]?.finish_reason ?? null);
        expect(reasons.filter((reason) => reason !== null)).toEqual(["stop"]);
        expect(reasons.at(-1)).toBe("stop");
        expect(new Set(chunks.map(({ id, object }) => `${id} ${object}`)).size).toBe(1);
        // The engine's own stream passes as it is, and it dates each chunk: some may be of the next second.
        const dates = chunks.map(({ created = 0 }) => created);
        expect(Math.max(...dates) - Math.min(...dates)).toBeLessThanOrEqual(model === RECITE ? 1 : 0);
        expect(new Set(chunks.map((chunk) => chunk.model))).toEqual(new Set([model]));
      },
    );

    test.each(KINDS)("5.3 .stream().finalChatCompletion() has the text of all deltas: %s", async (model) => {
      const stream = client.chat.completions.stream({ model, messages: ASK });
      let heard = "";
      stream.on("content", (piece) => {
        heard += piece;
      });
      const whole = await stream.finalChatCompletion();
      expect(whole.choices[0]?.message.content).toBe(heard);
      expect(heard).toBe(TEXTS[model] ?? "");
    });

    test.each(KINDS)("5.4 usage comes last and adds up when asked for, and not at all otherwise: %s", async (model) => {
      const asked = readSse(
        (await chat({ model, messages: ASK, stream: true, stream_options: { include_usage: true } })).text,
      );
      const last = asked.chunks.at(-1);
      expect(last?.choices).toEqual([]);
      const { prompt_tokens = 0, completion_tokens = 0, total_tokens } = last?.usage ?? {};
      expect(completion_tokens).toBeGreaterThan(0);
      expect(total_tokens).toBe(prompt_tokens + completion_tokens);
      expect(asked.chunks.slice(0, -1).every(({ usage }) => !usage)).toBe(true);
      const silent = readSse((await chat({ model, messages: ASK, stream: true })).text);
      expect(silent.chunks.every(({ usage }) => !usage)).toBe(true);
    });

    test.each(KINDS)("5.35 max_completion_tokens limits the answer, finish_reason length: %s", async (model) => {
      const answer = await client.chat.completions.create({ model, messages: ASK, max_completion_tokens: 2 });
      expect(answer.choices[0]?.finish_reason).toBe("length");
      expect(answer.usage?.completion_tokens).toBe(2);
      expect(TEXTS[model]).toStartWith(answer.choices[0]?.message.content ?? "-");
    });

    test("5.36 emoji and CJK survive whatever the chunks", async () => {
      const text = "漢字かな交じり文 👩‍👩‍👧‍👦 𠮷野家 🇳🇴 ✓";
      node.pieces = [...text];
      try {
        const { text: heard } = readSse((await chat({ model: TALE.name, messages: ASK, stream: true })).text);
        expect(heard).toBe(text);
        const whole = await client.chat.completions.create({ model: TALE.name, messages: messages(text) });
        expect(whole.choices[0]?.message.content).toBe(text);
        expect(node.bodies.at(-1)).toMatchObject({ messages: [{ role: "user", content: text }] });
      } finally {
        node.pieces = ["All", " is", " well", " ✓"];
      }
      const raw = await chat({ model: RECITE, messages: messages(text), stream: true });
      expect(readSse(raw.text).text).not.toContain("\uFFFD");
    });

    test("5.41 a name, its :latest and another case are one model", async () => {
      for (const model of ["Mind:8B", "MIND:8b", "vec", "VEC:latest"]) {
        await client.models.retrieve(model);
      }
      for (const model of [RECITE, `${RECITE}:latest`, "Recite", "TALE:8B"]) {
        const answer = await client.chat.completions.create({ model, messages: ASK, max_tokens: 2 });
        // The engine's own answer passes as it is, under the name that it was started with.
        expect(answer.model).toBe(/recite/i.test(model) ? RECITE : model);
      }
    });

    test.each(KINDS)("5.44 the developer role and content in parts are taken: %s", async (model) => {
      const answer = await client.chat.completions.create({
        model,
        messages: [
          { role: "developer", content: "Be brief." },
          {
            role: "user",
            content: [
              { type: "text", text: "Please" },
              { type: "text", text: "recite." },
            ],
          },
        ],
      });
      expect(answer.choices[0]?.message.content).toBe(TEXTS[model] ?? "");
    });

    test("5.44 an image among the parts reaches a model that sees, and its text with it in one message", async () => {
      await client.chat.completions.create({
        model: MIND.name,
        messages: [
          {
            role: "user",
            content: [
              { type: "text", text: "What is it?" },
              { type: "image_url", image_url: { url: PNG } },
            ],
          },
        ],
      });
      expect(node.bodies.at(-1)).toMatchObject({
        messages: [{ role: "user", content: "What is it?", images: [PNG.slice(PNG.indexOf(",") + 1)] }],
      });
    });

    test("5.45 each answer has an x-request-id of its own, which N shows as _request_id", async () => {
      const answers = await Promise.all(
        KINDS.map((model) => client.chat.completions.create({ model, messages: ASK, max_tokens: 2 })),
      );
      const ids = answers.map(({ _request_id }) => _request_id);
      const refused = await chat({ model: "nothing", messages: ASK });
      const all = [...ids, refused.headers.get("x-request-id")];
      expect(new Set(all).size).toBe(3);
      expect(all.every((id) => typeof id === "string" && id !== "")).toBe(true);
    });

    test("LangChain's ChatOpenAI invokes and streams on both kinds", async () => {
      for (const model of KINDS) {
        const chain = chatOpenAi(main, model);
        const answer = await chain.invoke("Please recite.");
        expect(answer.content).toBe(TEXTS[model] ?? "");
        expect(answer).toMatchObject({ usage_metadata: { output_tokens: expect.any(Number) } });
        let text = "";
        for await (const piece of await chain.stream("Please recite.")) text += String(piece.content);
        expect(text).toBe(TEXTS[model] ?? "");
      }
    });
  });
}
