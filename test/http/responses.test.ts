/** Clients of the Responses API in front of a coordinator: OpenAI's own, and one that reads as strictly as Codex. */
import { afterEach, describe, expect, test } from "bun:test";
import OpenAI, { NotFoundError } from "openai";
import { RECITATION } from "../../scripts/recitation.ts";
import { SynapticError } from "../../src/core/errors.ts";
import { eventsOf } from "../core/translate/recorded.ts";
import { createFakeClock } from "../fakes/clock.ts";
import { recite, refuse } from "../fakes/llama-answers.ts";
import { post } from "../fakes/runtime.ts";
import { answerRecorded } from "./recorded-script.ts";
import { clearStages, errorOf, type Stage, setStage } from "./stage.ts";

afterEach(clearStages);

const RESPONSES = "/v1/responses";
const STREAMED = post(JSON.stringify({ model: "m", input: "hi", stream: true }));

function clientOf({ url }: Stage, apiKey = "any"): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
}

function messagesPut({ upstream }: Stage, at: number): unknown {
  return JSON.parse(new TextDecoder().decode(upstream.asked[at]?.body)).messages;
}

const waiting = async ({ runtime }: Stage): Promise<void> => {
  while (runtime.waiting() === 0) await new Promise(setImmediate);
};

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error("It succeeded");
}

describe("OpenAI's client", () => {
  test("gets a whole response, of an id nobody can guess", async () => {
    const stage = setStage(recite);
    const { id, output_text, status, usage } = await clientOf(stage).responses.create({ model: "m", input: "hi" });
    expect(id).toMatch(/^resp_[0-9a-f]{32}$/);
    expect(output_text).toBe(RECITATION);
    expect(status).toBe("completed");
    expect(usage?.total_tokens).toBeGreaterThan(0);
    expect(stage.upstream.asked[0]?.path).toBe("/v1/chat/completions");
  });

  test("streams one, thoughts and calls included", async () => {
    const stream = clientOf(setStage(answerRecorded("chat-tools-stream"))).responses.stream({
      model: "m",
      input: "hi",
    });
    const { output, status } = await stream.finalResponse();
    expect(status).toBe("completed");
    expect(output.map(({ type }) => type)).toContain("function_call");
  });

  test.each([true, false])("refers to what it got before by its id (streamed: %p)", async (stream) => {
    const stage = setStage(recite);
    const { responses } = clientOf(stage);
    const first = stream
      ? await responses.stream({ model: "m", input: "hi" }).finalResponse()
      : await responses.create({ model: "m", input: "hi" });
    const id = first.output[0]?.id ?? "";
    const input = [
      { role: "user" as const, content: "hi" },
      { type: "item_reference" as const, id },
      { role: "user" as const, content: "go on" },
    ];
    await responses.create({ model: "m", input });
    expect(messagesPut(stage, 1)).toMatchObject([
      { role: "user" },
      { role: "assistant", content: RECITATION },
      { role: "user" },
    ]);
  });

  test("finds nothing of what another key's client got", async () => {
    const keys = ["one", "two"].map((name) => ({ name, hash: hashOf(name), scopes: ["use"] }));
    const stage = setStage(recite, { own: { keys } });
    const { output } = await clientOf(stage, "one").responses.create({ model: "m", input: "hi" });
    const input = [{ type: "item_reference" as const, id: output[0]?.id ?? "" }];
    const error = await failureOf(clientOf(stage, "two").responses.create({ model: "m", input }));
    expect(error).toMatchObject({ status: 400, param: "input[0].id" });
    await clientOf(stage, "one").responses.create({ model: "m", input });
  });

  test("gets a typed error before the first byte, and throws within a stream", async () => {
    const unknown = await failureOf(clientOf(setStage(recite)).responses.create({ model: "n", input: "hi" }));
    expect(unknown).toBeInstanceOf(NotFoundError);
    expect(unknown).toMatchObject({ code: "model_not_found", param: "model" });
    const stream = clientOf(setStage(answerRecorded("chat-broken-stream"))).responses.stream({
      model: "m",
      input: "hi",
    });
    // The SDK throws the event itself.
    expect(await failureOf(stream.finalResponse())).toMatchObject({ type: "error", code: "upstream_error" });
  });
});

describe("POST /v1/responses", () => {
  test("a prompt that is too long: 400 with the code that Codex looks for", async () => {
    const stage = setStage(refuse(400, "x", { type: "exceed_context_size_error", n_ctx: 8 }));
    const response = await stage.fetch(RESPONSES, STREAMED);
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ code: "context_length_exceeded" });
  });

  test("what only OpenAI's servers keep is refused, with what to do", async () => {
    const body = JSON.stringify({ model: "m", input: "hi", previous_response_id: "resp_1" });
    const response = await setStage(recite).fetch(RESPONSES, post(body));
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ code: "unsupported_parameter", param: "previous_response_id" });
  });

  test("a stream that waits is created at once and kept by events that are counted, then goes on in the same numbers", async () => {
    const clock = createFakeClock();
    const stage = setStage(recite, { clock, loaded: false });
    const pending = stage.fetch(RESPONSES, STREAMED);
    await waiting(stage);
    await clock.advance(10_000);
    const response = await pending;
    await clock.advance(10_000);
    stage.runtime.load();
    const events = eventsOf(await response.text());
    expect(events.slice(0, 4).map(({ name }) => name)).toEqual([
      "response.created",
      "response.in_progress",
      "response.in_progress",
      "response.in_progress",
    ]);
    expect(events.map(({ data }) => data.sequence_number)).toEqual(events.map((_, index) => index));
    expect(events.filter(({ name }) => name === "response.created")).toHaveLength(1);
    expect(events.at(-1)).toMatchObject({ name: "response.completed", data: { response: { status: "completed" } } });
    expect(clock.pending()).toBe(0);
  });

  test("a stream that waits in vain: the flat error, then response.failed with the same code, and nothing after", async () => {
    const clock = createFakeClock();
    const stage = setStage(recite, { clock, loaded: false });
    const pending = stage.fetch(RESPONSES, STREAMED);
    await waiting(stage);
    await clock.advance(10_000);
    const response = await pending;
    stage.runtime.refuse(new SynapticError("does_not_fit", "Cannot place m: needs 2 GiB, 1 GiB free"));
    const events = eventsOf(await response.text());
    expect(events.slice(-2).map(({ name }) => name)).toEqual(["error", "response.failed"]);
    expect(events.at(-2)?.data).toMatchObject({ type: "error", code: "does_not_fit" });
    expect(events.at(-1)?.data).toMatchObject({ response: { status: "failed", error: { code: "does_not_fit" } } });
    expect(events.map(({ data }) => data.sequence_number)).toEqual(events.map((_, index) => index));
  });
});

function hashOf(token: string): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(token).digest("hex")}`;
}
