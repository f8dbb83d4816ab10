/** The text is right, through any number of backends, and what was planned is what the engine's log shows. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { RECITATION } from "../../scripts/recitation.ts";
import type { Plan } from "../../src/core/plan-types.ts";
import { freePort } from "../fakes/real-rpc-server.ts";
import { type Lab, openLab } from "./lab.ts";
import { until } from "./program.ts";
import { hear, type Synaptic, textOf } from "./synaptic.ts";

const TYPES = ["F16", "Q8_0"] as const;
type Type = (typeof TYPES)[number];

setDefaultTimeout(60_000);

let lab: Lab;
let synaptic: Synaptic;
let config: string;
/** Llama-servers without RPC, one per type. */
const alone = new Map<Type, string>();

beforeAll(async () => {
  lab = await openLab();
  const [backends, f16, q8, damaged] = await Promise.all([
    lab.backends(3),
    lab.model({ layers: 24, type: "F16" }),
    lab.model({ layers: 24, type: "Q8_0" }),
    lab.model({ layers: 24, type: "F16", damagedLayer: 12 }),
  ]);
  const files = { F16: f16, Q8_0: q8, damaged };
  config = lab.config(
    backends.map(({ endpoint }) => endpoint),
    { models: { files } },
  );
  for (const type of TYPES) alone.set(type, await startAlone(files[type]));
  synaptic = await lab.serve({ config });
});

afterAll(async () => await lab[Symbol.asyncDispose]());

async function startAlone(model: string): Promise<string> {
  const port = freePort();
  const url = `http://127.0.0.1:${port}`;
  lab.start([lab.llamaServer, "--model", model, "--port", String(port), "--ctx-size", "4096", "--no-warmup"]);
  await until("a llama-server without RPC", async () => {
    const response = await fetch(`${url}/health`).catch(() => null);
    return response?.ok ? true : null;
  });
  return url;
}

const CHAT = { path: "/v1/chat/completions", ask: { messages: [{ role: "user", content: "Please recite." }] } };
const COMPLETION = { path: "/v1/completions", ask: { prompt: "Please recite." } };

async function say(url: string, type: Type, { path, ask }: typeof CHAT | typeof COMPLETION, stream: boolean) {
  const body = JSON.stringify({ model: type, ...ask, stream, temperature: 0, max_tokens: 200 });
  const response = await fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  if (!stream) return await textOf(response);
  const { text, done, error } = await hear(response);
  expect({ done, error }).toEqual({ done: true, error: null });
  return text;
}

describe.each(TYPES)("with weights in %s", (type) => {
  for (const stream of [true, false]) {
    for (const dialect of [CHAT, COMPLETION]) {
      const how = `${dialect.path} ${stream ? "streamed" : "whole"}`;
      test(`${how}: the text of three backends is that of one llama-server without RPC, and the known answer`, async () => {
        const sharded = await say(synaptic.url, type, dialect, stream);
        expect(sharded).toBe(await say(alone.get(type) ?? "", type, dialect, stream));
        expect(sharded).toBe(RECITATION);
      });
    }
  }

  test("each of three backends holds the layers that were planned, with model and KV bytes within 1 %", async () => {
    await synaptic.load(type);
    const { plan, proof } = await synaptic.coordinator(type);
    expect(proof?.proven).toBe(true);
    expect(proof?.backends.map(({ layers }) => layers)).toEqual(plan?.backends.map(({ layers }) => layers) ?? []);
    expect(proof?.backends).toHaveLength(3);
    for (const [index, planned] of (plan?.backends ?? []).entries()) {
      const seen = proof?.backends[index];
      expect(seen?.endpoint).toBe(planned.endpoint);
      expect(planned.layers).toBeGreaterThan(0);
      expect(offBy(seen?.modelBytes, planned.modelBytes)).toBeLessThan(0.01);
      expect(offBy(seen?.kvBytes, planned.kvBytes)).toBeLessThan(0.01);
    }
  });

  test("no backend and no head node uses more for computing than was reserved", async () => {
    await synaptic.load(type);
    const { plan, proof } = await synaptic.coordinator(type);
    const reserved = [...(plan?.backends ?? []), plan?.head].map((share) => share?.computeBytes ?? 0);
    const used = [...(proof?.backends ?? []), proof?.head].map((share) => share?.computeBytes ?? Infinity);
    expect(used.map((bytes, index) => bytes > 0 && bytes <= (reserved[index] ?? 0))).toEqual([true, true, true, true]);
  });

  test("`plan --json` prints the plan that the running coordinator was started from", async () => {
    await synaptic.load(type);
    const { code, stdout } = await lab.run(["plan", type, "--json", ...synaptic.portFlag], { config });
    expect(code).toBe(0);
    const { plan } = await synaptic.coordinator(type);
    // Our own answer: the shape of core/plan-types.
    const { backends, head } = JSON.parse(stdout) as Plan;
    expect({ backends, head }).toEqual({ backends: plan?.backends ?? [], head: plan?.head ?? head });
  });
});

test("a model with one damaged layer loads as planned, and fails the known answer", async () => {
  const response = await synaptic.post("/v1/completions", { model: "damaged", prompt: "Hi", max_tokens: 90 });
  expect(await textOf(response)).not.toStartWith(RECITATION.slice(0, 40));
  expect((await synaptic.coordinator("damaged")).proof?.proven).toBe(true);
});

/** A llama-server that gets other arguments than those of the plan. */
function tampering(flag: string, value: string): string {
  return lab.write(
    `tamper${flag}`,
    `#!/bin/sh
for word; do
  shift
  [ "$before" = "${flag}" ] && word="${value}"
  before=$word
  set -- "$@" "$word"
done
exec "${lab.llamaServer}" "$@"
`,
    0o755,
  );
}

const lies = [
  { what: "another split than planned", flag: "--tensor-split", value: "1,1,23", says: /holds \d+ layers, planned 9/ },
  { what: "no layer offloaded, as in the replaced system", flag: "--gpu-layers", value: "0", says: /holds nothing/ },
];

test.each(lies)("prove exits with 1 on $what", async ({ flag, value, says }) => {
  await synaptic.post("/synaptic/models/unload", { model: "damaged" });
  const env = { LLAMA_SERVER_PATH: tampering(flag, value) };
  const { code, stdout, stderr } = await lab.run(["prove", "F16", "--port", "0"], { config, env });
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(/Cannot prove the sharding of F16: /);
  expect(stderr).toMatch(says);
});

function offBy(seen: number | undefined, planned: number): number {
  return Math.abs((seen ?? Infinity) - planned) / planned;
}
