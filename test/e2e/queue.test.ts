/** Ten streams at once before two slots of the real llama-server: two at work, the others in turn between two keys. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { RECITATION } from "../../scripts/recitation.ts";
import type { Snapshot } from "../../src/core/snapshot.ts";
import { type Lab, openLab } from "./lab.ts";
import { until } from "./program.ts";
import { type Heard, hear, type Synaptic } from "./synaptic.ts";

setDefaultTimeout(60_000);

const SLOTS = 2;

let lab: Lab;
let synaptic: Synaptic;

async function keyOf(name: string, scope: string) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`key-of-${name}`));
  return { name, scopes: [scope], hash: `sha256:${new Uint8Array(digest).toHex()}` };
}

beforeAll(async () => {
  lab = await openLab();
  const [backends, model] = await Promise.all([lab.backends(2), lab.model({ layers: 4, type: "F16" })]);
  const keys = await Promise.all([keyOf("anna", "use"), keyOf("ben", "use"), keyOf("owner", "admin")]);
  const own = { parallel: SLOTS, keys, models: { files: { m: model } } };
  synaptic = await lab.serve({
    config: lab.config(
      backends.map(({ endpoint }) => endpoint),
      own,
    ),
  });
});

afterAll(async () => await lab[Symbol.asyncDispose]());

const headersOf = (name: string) => ({ authorization: `Bearer key-of-${name}`, "content-type": "application/json" });

async function coordinator() {
  const response = await fetch(`${synaptic.url}/synaptic/status`, { headers: headersOf("owner") });
  // Our own server's answer.
  const { coordinators } = (await response.json()) as Snapshot;
  return coordinators.find(({ model }) => model === "m") ?? null;
}

interface Asked {
  readonly heard: Promise<Heard>;
}

/** Names of streams in the order of their first words. */
const begun: string[] = [];

function ask(key: string, name: string, more: object = {}): Asked {
  const body = { model: "m", stream: true, messages: [{ role: "user", content: "Please recite." }], ...more };
  const answer = fetch(`${synaptic.url}/v1/chat/completions`, {
    method: "POST",
    headers: headersOf(key),
    body: JSON.stringify(body),
  });
  const heard = answer.then((response) => {
    expect(response.status).toBe(200);
    return hear(response, (text) => {
      if (text !== "" && !begun.includes(name)) begun.push(name);
    });
  });
  return { heard };
}

test("all ten are answered, never more than two at work, and keys take turns", async () => {
  const load = await fetch(`${synaptic.url}/synaptic/models/load`, {
    method: "POST",
    headers: headersOf("owner"),
    body: JSON.stringify({ model: "m" }),
  });
  expect(load.status).toBe(200);
  // Two that take long enough for all others to come meanwhile.
  const long = { ignore_eos: true, max_tokens: 700 };
  const asked = new Map([["anna1", ask("anna", "anna1", long)]]);
  const inside = (count: number) =>
    until(`${count} requests`, async () => {
      const seen = await coordinator();
      return seen && seen.slots.busy + seen.queue.length === count ? true : null;
    });
  await inside(1);
  for (const [key, name, more] of [
    ["anna", "anna2", long],
    ["anna", "anna3", {}],
    ["anna", "anna4", {}],
    ["anna", "anna5", {}],
    ["anna", "anna6", {}],
    ["anna", "anna7", {}],
    ["anna", "anna8", {}],
    ["ben", "ben1", {}],
    ["ben", "ben2", {}],
  ] as const) {
    asked.set(name, ask(key, name, more));
    await inside(asked.size);
  }
  expect(await coordinator()).toMatchObject({ slots: { total: SLOTS, busy: SLOTS }, queue: { length: 8 } });
  let open = true;
  const all = Promise.all([...asked.values()].map(({ heard }) => heard)).finally(() => {
    open = false;
  });
  let most = 0;
  while (open) most = Math.max(most, (await coordinator())?.slots.busy ?? 0);
  expect(most).toBe(SLOTS);
  for (const { text, done, error } of await all) {
    expect([text.startsWith(RECITATION), done, error]).toEqual([true, true, null]);
  }
  // Turns: anna3, ben1, anna4, ben2; of two that run side by side, either may speak first.
  expect(begun).toHaveLength(10);
  expect(begun.indexOf("ben1")).toBeLessThanOrEqual(4);
  expect(begun.indexOf("ben2")).toBeLessThanOrEqual(6);
  expect(await coordinator()).toMatchObject({ slots: { busy: 0 }, queue: { length: 0, oldestMs: null }, restarts: 0 });
  const metrics = await (await fetch(`${synaptic.url}/metrics`, { headers: headersOf("anna") })).text();
  expect(metrics).toContain('synaptic_queue_wait_seconds_count{model="m"} 10');
});
