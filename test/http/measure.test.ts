/** `POST /synaptic/measure`: passes the wish on, answers with the rows, and is for the owner. */
import { afterEach, describe, expect, test } from "bun:test";
import type { MeasureRow } from "../../src/core/timing.ts";
import { recite } from "../fakes/llama-answers.ts";
import { post } from "../fakes/runtime.ts";
import { clearStages, errorOf, setStage } from "./stage.ts";

afterEach(clearStages);

const ROWS: readonly MeasureRow[] = [
  { endpoint: "10.0.0.1:50052", devices: ["cpu"], timing: null, failure: { code: "too_busy", message: "held" } },
];

describe("POST /synaptic/measure", () => {
  test.each([
    ["", {}],
    ["{}", {}],
    ['{"endpoints": [], "head": true}', { endpoints: [], head: true }],
    ['{"endpoints": ["10.0.0.1:50052"]}', { endpoints: ["10.0.0.1:50052"] }],
  ])("asks for %p as %j, and answers with what came of it", async (body, wish) => {
    const { runtime, request } = setStage(recite);
    runtime.measured = ROWS;
    const response = await request("/synaptic/measure", post(body));
    expect([response.status, await response.json()]).toEqual([200, { measured: ROWS }]);
    expect(runtime.wishes).toEqual([wish]);
  });

  test.each([
    ['{"endpoints": "all"}', "endpoints"],
    ['{"endpoints": [1]}', "endpoints.0"],
    ['{"head": "yes"}', "head"],
    ["[]", null],
    ["{", null],
  ])("refuses %p", async (body, param) => {
    const { runtime, request } = setStage(recite);
    const response = await request("/synaptic/measure", post(body));
    expect(response.status).toBe(400);
    expect((await errorOf(response)).param).toBe(param);
    expect(runtime.wishes).toEqual([]);
  });

  test("wants an admin's key, and POST", async () => {
    const { request } = setStage(recite, { config: { apiKey: "secret" } });
    expect((await request("/synaptic/measure", post("{}"))).status).toBe(401);
    const headers = { authorization: "Bearer secret" };
    expect((await request("/synaptic/measure", post("{}", headers))).status).toBe(200);
    expect((await request("/synaptic/measure", { headers })).status).toBe(405);
  });
});
