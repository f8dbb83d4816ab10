/** What Ollama's clients list and look at of the head node's own models. */
import { afterEach, describe, expect, test } from "bun:test";
import { recite } from "../fakes/llama-answers.ts";
import { post } from "../fakes/runtime.ts";
import { planned, R24 } from "../fixtures/model-facts.ts";
import { clearStages, setStage } from "./stage.ts";

afterEach(clearStages);

const ABOUT = {
  template: "{{ tools }}",
  info: { "general.architecture": R24.architecture, [`${R24.architecture}.context_length`]: R24.trainedContext },
};

async function jsonOf(response: Promise<Response>): Promise<Readonly<Record<string, unknown>>> {
  // What the tests look at; anything else would fail there.
  return (await (await response).json()) as Readonly<Record<string, unknown>>;
}

describe("the head node's models", () => {
  test("are listed with tag, size, time, details and capabilities (check 26)", async () => {
    const { fetch, runtime } = setStage(recite, { models: ["b:1b"] });
    runtime.file = { about: ABOUT, modifiedAtMs: Date.UTC(2026, 10, 24) };
    const { models } = await jsonOf(fetch("/api/tags"));
    expect(models).toHaveLength(2);
    expect(models).toContainEqual({
      ...{ name: "m:latest", model: "m:latest", size: R24.fileBytes, modified_at: "2026-11-24T00:00:00.000Z" },
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      details: expect.objectContaining({ family: R24.architecture, parameter_size: expect.any(String) }),
      capabilities: ["completion", "tools"],
    });
  });

  test("are shown with their template, keys and context (check 27), under either field", async () => {
    const { fetch, runtime } = setStage(recite);
    runtime.file = { about: ABOUT, modifiedAtMs: 0 };
    for (const body of ['{"model":"m"}', '{"name":"m"}']) {
      const shown = await jsonOf(fetch("/api/show", post(body)));
      expect(shown).toMatchObject({
        template: "{{ tools }}",
        capabilities: ["completion", "tools"],
        model_info: ABOUT.info,
        details: { family: R24.architecture },
      });
      expect(shown.parameters).toMatch(/^num_ctx +\d+$/);
    }
  });

  test("run with what their plan takes, until they are ended", async () => {
    const { fetch, runtime } = setStage(recite);
    const before = runtime.snapshot;
    const coordinator = {
      ...{ model: "m", state: "ready" as const, since: "", phase: null, drainingFor: null, pinned: false },
      ...{ keepUntil: "2026-11-24T18:00:00.000Z", pid: 1, progress: null, etaMs: null, restarts: 0 },
      ...{ slots: { total: 1, busy: 0 }, queue: { length: 0, oldestMs: null }, tokensPerSecond: null },
      ...{ lastFailure: null, plan: { ...planned(), command: [] }, proof: null },
    };
    runtime.snapshot = () => ({ ...before(), coordinators: [coordinator, { ...coordinator, state: "starting" }] });
    const { models } = await jsonOf(fetch("/api/ps"));
    expect(models).toMatchObject([
      { name: "m:latest", size: expect.any(Number), size_vram: 0, expires_at: "2026-11-24T18:00:00.000Z" },
    ]);
    expect(models).toHaveLength(1);
  });
});
