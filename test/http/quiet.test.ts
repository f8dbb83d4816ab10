/** Bun ends quiet connections after 12 s unless told otherwise; a model may think for longer. Takes that long, once. */
import { afterAll, expect, test } from "bun:test";
import { chatChunk, DONE, recite } from "../fakes/llama-answers.ts";
import { chat, post } from "../fakes/runtime.ts";
import { clearStages, setStage } from "./stage.ts";

afterAll(clearStages);

const QUIET_MS = 13_000;
const CHAT = "/v1/chat/completions";

test("an upstream that is quiet for 13 s, before its headers or between two events, is waited for", async () => {
  const beforeHeaders = setStage(async (reply) => {
    await Bun.sleep(QUIET_MS);
    await recite(reply);
  });
  const between = setStage(async (reply) => {
    await reply.head();
    await reply.chunk(chatChunk({ content: "x" }));
    await Bun.sleep(QUIET_MS);
    await reply.chunk(DONE);
    await reply.end();
  });
  const [whole, stream] = await Promise.all([
    beforeHeaders.fetch(CHAT, post(chat())).then((response) => response.text()),
    between.fetch(CHAT, post(chat({ stream: true }))).then((response) => response.text()),
  ]);
  expect(whole).toContain("No claim without proof.");
  expect(stream).toBe(chatChunk({ content: "x" }) + DONE);
}, 30_000);
