/** What `prove` makes of streams that do not end well. */
import { expect, test } from "bun:test";
import { createClient } from "../../src/cli/client.ts";
import type { Host } from "../../src/cli/host.ts";
import { listenTo } from "../../src/cli/listen.ts";

function hear(body: string, status = 200) {
  const talk: string[] = [];
  // No more of the host is used here.
  const host = { stopping: new AbortController().signal, talk: (text: string) => talk.push(text) } as unknown as Host;
  const client = createClient({ request: async () => new Response(body, { status }) }, "http://synaptic", null);
  return { talk, speech: listenTo(host, client, { model: "m", prompt: "Hi", maxTokens: 9 }) };
}

const chunk = (content: string, more: object = {}) =>
  `data: ${JSON.stringify({ model: "m", choices: [{ delta: { content } }], ...more })}\n\n`;

test("listenTo() returns the text and the measured speeds, and shows the text as it comes", async () => {
  const timings = { prompt_per_second: 20, predicted_per_second: 30 };
  const { speech, talk } = hear(`: loading 10%\n\n${chunk("All")}${chunk(" well", { timings })}data: [DONE]\n\n`);
  expect(await speech).toEqual({ model: "m", text: "All well", promptPerSecond: 20, tokensPerSecond: 30 });
  expect(talk.join("")).toBe("All well\n");
});

test("listenTo() refuses a stream that breaks off before [DONE]: half a text proves nothing", async () => {
  await expect(hear(chunk("All")).speech).rejects.toMatchObject({ code: "upstream_error" });
});

test("listenTo() passes on the error that a stream or an answer carries", async () => {
  const error = { message: "Lost a backend of m", type: "server_error", param: null, code: "upstream_error" };
  const frame = hear(`${chunk("All")}data: ${JSON.stringify({ error })}\n\n`);
  await expect(frame.speech).rejects.toThrow("Lost a backend of m");
  await expect(hear(JSON.stringify({ error }), 502).speech).rejects.toThrow("Lost a backend of m");
});
