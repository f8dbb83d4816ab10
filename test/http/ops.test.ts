/** The lists and the owner's routes: models, health, metrics, plans, loading and unloading. */
import { afterEach, describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { recite } from "../fakes/llama-answers.ts";
import { chat, post } from "../fakes/runtime.ts";
import { clearStages, errorOf, setStage } from "./stage.ts";

afterEach(clearStages);

const HF = "hf.co/u/r:Q4_K_M";

describe("/v1/models", () => {
  test("lists each model once, as OpenAI does", async () => {
    const { request } = setStage(recite, { models: [HF, "a:b"] });
    const list = await (await request("/v1/models")).json();
    const created = expect.any(Number);
    expect(list).toEqual({
      object: "list",
      data: ["m", HF, "a:b"].map((id) => ({ id, object: "model", created, owned_by: "synaptic" })),
    });
    expect(Number.isInteger((list as { data: { created: number }[] }).data[0]?.created)).toBe(true);
  });

  test.each(["m", HF, "hf.co%2Fu%2Fr:Q4_K_M", "hf.co%2Fu%2Fr%3AQ4_K_M", "a:b", "a%3Ab"])(
    "gives one of them by its name, raw and encoded: %s",
    async (name) => {
      const { fetch } = setStage(recite, { models: [HF, "a:b"] });
      const response = await fetch(`/v1/models/${name}`);
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ id: decodeURIComponent(name), object: "model" });
    },
  );

  test.each(["n", "hf.co/u", "m/x", "%E0%A4%A"])("knows no other: %s", async (name) => {
    const response = await setStage(recite, { models: [HF] }).fetch(`/v1/models/${name}`);
    expect(response.status).toBe(404);
    expect(await errorOf(response)).toMatchObject({ code: "model_not_found", param: "model" });
  });
});

describe("health", () => {
  test("is alive, whatever is loaded, and ready once the runtime is", async () => {
    const { request, runtime } = setStage(recite, { loaded: false });
    expect(await (await request("/healthz")).json()).toEqual({ status: "ok", server: "synaptic" });
    expect((await request("/readyz")).status).toBe(503);
    runtime.load();
    expect(await (await request("/readyz")).json()).toEqual({ ready: true, engineFailure: null, models: [] });
    expect((await request("/readyz")).status).toBe(200);
  });

  test.each(["/", "/healthz", "/readyz", "/v1/models"])("answers HEAD %s without a body", async (path) => {
    const response = await setStage(recite).fetch(path, { method: "HEAD" });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("");
  });

  test("says at / what runs here, in the words that Ollama's clients look for", async () => {
    const { request } = setStage(recite);
    expect(await (await request("/")).text()).toBe("Ollama is running (synaptic 1.2.3)\n");
    const head = await request("/", { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });
});

/** The lines of Prometheus' text format, or the first that is none. */
function parseMetrics(text: string): Map<string, number> {
  const values = new Map<string, number>();
  const line = /^([a-zA-Z_:][\w:]*(?:\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*",?)*\})?) (\S+)$/;
  for (const each of text.split("\n")) {
    if (each === "" || /^# (HELP|TYPE) \w+ /.test(each)) continue;
    const [, name, value] = line.exec(each) ?? [];
    if (name === undefined || Number.isNaN(Number(value?.replace("+Inf", "Infinity")))) {
      throw new Error(`Not Prometheus' text format: ${each}`);
    }
    values.set(name, Number(value));
  }
  return values;
}

test("/metrics is Prometheus' text, and counts requests by how they ended", async () => {
  const { fetch, runtime } = setStage(recite);
  await (await fetch("/v1/chat/completions", post(chat({ stream: true })))).text();
  await (await fetch("/v1/chat/completions", post(chat()))).text();
  runtime.fleet.acquire = () => Promise.reject(new SynapticError("no_backends", "None answers"));
  await (await fetch("/v1/chat/completions", post(chat()))).text();
  const response = await fetch("/metrics");
  expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
  const values = parseMetrics(await response.text());
  const count = (status: number) => values.get(`synaptic_requests_total{model="m",route="shard",status="${status}"}`);
  expect([count(200), count(503)]).toEqual([2, 1]);
  expect(values.get('synaptic_first_byte_seconds_count{model="m",route="shard"}')).toBe(2);
  expect(values.get('synaptic_request_seconds_count{model="m",route="shard"}')).toBe(3);
});

describe("/synaptic", () => {
  test("status is the snapshot", async () => {
    const { request, runtime } = setStage(recite);
    expect(await (await request("/synaptic/status")).json()).toEqual(JSON.parse(JSON.stringify(runtime.snapshot())));
  });

  test("plan asks for a model, knows it, and says why it does not fit", async () => {
    const { request } = setStage(recite);
    const missing = await request("/synaptic/plan");
    expect(missing.status).toBe(400);
    expect(await errorOf(missing)).toMatchObject({ param: "model", code: "missing_required_parameter" });
    expect((await request("/synaptic/plan?model=n")).status).toBe(404);
    const refused = await request("/synaptic/plan?model=m");
    expect(refused.status).toBe(503);
    expect(refused.headers.get("x-should-retry")).toBe("false");
    expect((await errorOf(refused)).code).toBe("does_not_fit");
  });

  test("plan of a refusal by the planner is an error with its code", async () => {
    const { request, runtime } = setStage(recite);
    const refusal = { code: "no_backends", message: "None is up", hint: "start one" } as const;
    // The rest of a plan is not read for a refusal.
    runtime.plan = async () => ({ result: { ok: false, refusal } }) as never;
    const response = await request("/synaptic/plan?model=m");
    expect(response.status).toBe(503);
    expect(await errorOf(response)).toMatchObject({ code: "no_backends", message: "None is up (start one)" });
  });

  test("models is the listing, damaged ones included", async () => {
    const { request, runtime } = setStage(recite);
    const listing = { models: [], problems: [{ reason: "Cannot read the Ollama store /o", hint: "join its group" }] };
    runtime.models = async () => listing;
    expect(await (await request("/synaptic/models")).json()).toEqual(listing);
  });

  test("load waits until the model is ready, and holds nothing afterwards", async () => {
    const { request, runtime } = setStage(recite, { loaded: false });
    const pending = request("/synaptic/models/load", post('{"model":"m"}'));
    while (runtime.waiting() === 0) await new Promise(setImmediate);
    runtime.load();
    expect(await (await pending).json()).toEqual({ model: "m", state: "ready" });
    expect(runtime.busy()).toBe(0);
  });

  test("load says why it failed", async () => {
    const { request, runtime } = setStage(recite, { loaded: false });
    const pending = request("/synaptic/models/load", post('{"model":"m"}'));
    while (runtime.waiting() === 0) await new Promise(setImmediate);
    runtime.refuse(new SynapticError("does_not_fit", "Cannot place m: needs 2 GiB, 1 GiB free"));
    expect((await pending).status).toBe(503);
  });

  test("unload unloads", async () => {
    const { request, runtime } = setStage(recite);
    const response = await request("/synaptic/models/unload", post('{"model":"m"}'));
    expect(await response.json()).toEqual({ model: "m", state: "idle" });
    expect(runtime.unloaded).toEqual(["m"]);
  });

  test.each(["load", "unload"])("%s refuses what it cannot read, and models that it does not know", async (verb) => {
    const { request, runtime } = setStage(recite);
    const ask = (body: string) => request(`/synaptic/models/${verb}`, post(body));
    for (const body of ["", "{", "[]", "{}", '{"model":5}', '{"model":""}']) {
      const response = await ask(body);
      expect(response.status).toBe(400);
      expect((await errorOf(response)).type).toBe("invalid_request_error");
    }
    expect((await ask('{"model":"n"}')).status).toBe(404);
    expect([runtime.unloaded, runtime.granted()]).toEqual([[], 0]);
  });
});
