/** Backends that die, hang on to others or speak another protocol: what clients see, and that it goes on without them. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { RECITATION } from "../../scripts/recitation.ts";
import type { Plan } from "../../src/core/plan-types.ts";
import type { RealRpcServer } from "../fakes/real-rpc-server.ts";
import { holdRpcServer } from "../fakes/rpc-holder.ts";
import { FakeRpcServer } from "../fakes/rpc-server.ts";
import { type Lab, openLab } from "./lab.ts";
import { type Heard, hear, type Synaptic, textOf } from "./synaptic.ts";

setDefaultTimeout(60_000);

/** Open from the first test to the last, so that the model is made once. */
let shelf: Lab;
let lab: Lab;
let model: string;

beforeAll(async () => {
  shelf = await openLab();
  model = await shelf.model({ layers: 12, type: "F16" });
});

afterAll(async () => await shelf[Symbol.asyncDispose]());

beforeEach(async () => {
  lab = await openLab();
});

afterEach(async () => await lab[Symbol.asyncDispose]());

/** Probes often and briefly, so that a backend which comes back or is held is seen soon. Streams end where they break:
 *  those that go on are in resume.test.ts. */
function configOf(servers: readonly Pick<RealRpcServer, "endpoint">[]): string {
  const endpoints = servers.map(({ endpoint }) => endpoint);
  const probe = { intervalMs: 200, timeoutMs: 500 };
  return lab.config(endpoints, { models: { files: { m: model } }, probe, resumeWithin: 0 });
}

async function start(count: number) {
  const backends = await lab.backends(count);
  const synaptic = await lab.serve({ config: configOf(backends) });
  // Three were asked for, so three are there.
  const [first, second, third] = backends as [RealRpcServer, RealRpcServer, RealRpcServer];
  return { synaptic, first, second, third };
}

/** Text without an end: the model starts over as often as it may. */
const ENDLESS = { model: "m", prompt: "Recite", stream: true, max_tokens: 3000, ignore_eos: true };

async function recite(synaptic: Synaptic): Promise<string> {
  return await textOf(await synaptic.post("/v1/completions", { model: "m", prompt: "Recite", max_tokens: 200 }));
}

async function holders(synaptic: Synaptic): Promise<readonly string[]> {
  const { proof } = await synaptic.coordinator("m");
  return proof?.backends.map(({ endpoint }) => endpoint) ?? [];
}

describe("a backend killed while it streams", () => {
  test("gives the client the text so far, then an error with the code upstream_error, and no [DONE]", async () => {
    const { synaptic, second } = await start(3);
    const response = await synaptic.post("/v1/completions", ENDLESS);
    const heard: Heard = await hear(response, (text) => {
      if (text.length > 200) second.kill("SIGKILL");
    });
    expect(heard.text.length).toBeGreaterThan(200);
    expect(RECITATION.repeat(20)).toStartWith(heard.text);
    expect(heard.done).toBe(false);
    expect(heard.error).toMatchObject({ type: "server_error", code: "upstream_error", param: null });
    expect(heard.error?.message).toContain(second.endpoint);
  });

  test("makes the openai package throw an error with the code upstream_error after the text so far", async () => {
    const { synaptic, first } = await start(3);
    const client = new OpenAI({ baseURL: `${synaptic.url}/v1`, apiKey: "none", maxRetries: 0 });
    const stream = await client.chat.completions.create({
      model: "m",
      messages: [{ role: "user", content: "Recite" }],
      stream: true,
      max_tokens: 3000,
      // llama-server's own option: the text never ends.
      ...{ ignore_eos: true },
    });
    let text = "";
    const listen = async () => {
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? "";
        if (text.length > 200) first.kill("SIGKILL");
      }
    };
    await expect(listen()).rejects.toMatchObject({ code: "upstream_error", type: "server_error" });
    expect(text.length).toBeGreaterThan(200);
    expect(RECITATION.repeat(20)).toStartWith(text);
  });

  test("leaves the next request to the survivors, with the exact text, and is named as the last failure", async () => {
    const { synaptic, first, second, third } = await start(3);
    await hear(await synaptic.post("/v1/completions", ENDLESS), (text) => {
      if (text.length > 200) second.kill("SIGKILL");
    });
    expect(await recite(synaptic)).toBe(RECITATION);
    expect(await holders(synaptic)).toEqual([first.endpoint, third.endpoint]);
    expect((await synaptic.coordinator("m")).lastFailure).toContain(second.endpoint);
    expect(await synaptic.backend(second.endpoint)).toMatchObject({ state: "down" });
  });
});

test("a hung backend costs the requests it has one allowed silence; then its coordinator is ended and the rest serve", async () => {
  const backends = (await lab.backends(2)) as [RealRpcServer, RealRpcServer];
  const config = JSON.parse(readFileSync(configOf(backends), "utf8")) as object;
  const path = lab.write("impatient.json", JSON.stringify({ ...config, agent_timeout: 1 }));
  const synaptic = await lab.serve({ config: path });
  await synaptic.load("m");
  process.kill(backends[1].pid, "SIGSTOP");
  const hung = await synaptic.post("/v1/completions", { model: "m", prompt: "Recite", max_tokens: 200 });
  expect(hung.status).toBe(504);
  await hung.text();
  expect(await recite(synaptic)).toBe(RECITATION);
  expect(await holders(synaptic)).toEqual([backends[0].endpoint]);
  expect((await synaptic.coordinator("m")).lastFailure).toContain("hangs");
  expect(await synaptic.backend(backends[1].endpoint)).toMatchObject({ state: "busy" });
});

test("a backend killed while idle is down at once, the next request works without it, and once restarted it is up again", async () => {
  const { synaptic, first, second, third } = await start(3);
  await synaptic.load("m");
  const killedAt = performance.now();
  second.kill("SIGKILL");
  await synaptic.untilLine(new RegExp(`backend down endpoint=${second.endpoint} reason="lost while m was using it`));
  // Seen by the sentinel: no probe is sent to a leased backend, and three failures would take longer.
  expect(performance.now() - killedAt).toBeLessThan(400);
  expect(await synaptic.backend(second.endpoint)).toMatchObject({ state: "down" });

  expect(await recite(synaptic)).toBe(RECITATION);
  expect(await holders(synaptic)).toEqual([first.endpoint, third.endpoint]);

  await lab.backend({ port: second.port });
  await synaptic.untilLine(
    new RegExp(`backend up endpoint=${second.endpoint}[\\s\\S]*backend up endpoint=${second.endpoint}`),
  );
  expect(await synaptic.backend(second.endpoint)).toMatchObject({ state: "up", reason: "" });
});

test("a backend that dies between its probe and the start is left out of the load that follows at once", async () => {
  const [first, second, third] = (await lab.backends(3)) as [RealRpcServer, RealRpcServer, RealRpcServer];
  const killed = join(lab.folder, "killed");
  const wrapper = lab.write(
    "llama-server",
    `#!/bin/sh
case " $* " in *" --model "*) [ -e ${killed} ] || { touch ${killed}; kill -9 ${second.pid}; };; esac
exec "${lab.llamaServer}" "$@"
`,
    0o755,
  );
  const config = configOf([first, second, third]);
  const synaptic = await lab.serve({ config, env: { LLAMA_SERVER_PATH: wrapper } });
  expect(await recite(synaptic)).toBe(RECITATION);
  expect(existsSync(killed)).toBe(true);
  expect(await holders(synaptic)).toEqual([first.endpoint, third.endpoint]);
  expect((await synaptic.coordinator("m")).lastFailure).toContain(second.endpoint);
});

test("a backend that a foreign client holds is busy, the model goes on the others, and the plan says why", async () => {
  const [first, second, third] = (await lab.backends(3)) as [RealRpcServer, RealRpcServer, RealRpcServer];
  const holder = await holdRpcServer(second.endpoint);
  const config = configOf([first, second, third]);
  const synaptic = await lab.serve({ config });
  expect(await recite(synaptic)).toBe(RECITATION);
  expect(await holders(synaptic)).toEqual([first.endpoint, third.endpoint]);
  expect(await synaptic.backend(second.endpoint)).toMatchObject({ state: "busy" });
  const { stdout } = await lab.run(["plan", "m", "--json", ...synaptic.portFlag], { config });
  // Our own answer: the shape of core/plan-types.
  const { reasons } = JSON.parse(stdout) as Plan;
  expect(reasons.find((reason) => reason.startsWith(`fits without ${second.endpoint}: `))).toContain(
    "held by another client",
  );
  holder.leave();
});

test("a backend of an older protocol is incompatible, with the sentence that names both versions, and is left out", async () => {
  const old = new FakeRpcServer({ tag: "normal", version: [7, 0, 0] });
  try {
    const [first] = (await lab.backends(1)) as [RealRpcServer];
    const synaptic = await lab.serve({ config: configOf([first, old]) });
    expect(await recite(synaptic)).toBe(RECITATION);
    expect(await holders(synaptic)).toEqual([first.endpoint]);
    const { state, reason } = await synaptic.backend(old.endpoint);
    expect(state).toBe("incompatible");
    expect(reason).toMatch(new RegExp(`^${old.endpoint} speaks RPC 7\\.0.*llama-server.* 8\\.0`));
  } finally {
    old.stop();
  }
});
