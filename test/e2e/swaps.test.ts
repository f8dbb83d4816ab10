/** Several models on real backends: side by side, swapped by need, pinned, and never lost; and two synaptics beside each other. */
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { RECITATION } from "../../scripts/recitation.ts";
import type { RealRpcServer } from "../fakes/real-rpc-server.ts";
import { isRunning, type Lab, openLab } from "./lab.ts";
import { hear, type Synaptic, textOf } from "./synaptic.ts";

setDefaultTimeout(60_000);

let lab: Lab;
let backends: readonly RealRpcServer[];
let model: string;
let large: string;

beforeAll(async () => {
  lab = await openLab();
  [backends, model, large] = await Promise.all([
    lab.backends(4),
    lab.model({ layers: 12, type: "F16" }),
    lab.model({ layers: 24, type: "F16" }),
  ]);
});

afterAll(async () => await lab[Symbol.asyncDispose]());

const running: Synaptic[] = [];

/** A test that fails must not hold the backends of the next. */
afterEach(async () => {
  for (const synaptic of running.splice(0)) await synaptic.stop();
});

async function serve(config: string): Promise<Synaptic> {
  const synaptic = await lab.serve({ config });
  running.push(synaptic);
  return synaptic;
}

/** Each of the models a to d takes two of four backends, `large` takes all. */
function configOf(own: object = {}, settings: object = {}): string {
  const names = ["a", "b", "c", "d"];
  const files = { ...Object.fromEntries(names.map((name) => [name, model])), large };
  return lab.config(
    backends.map(({ endpoint }) => endpoint),
    {
      placement: "fewest",
      contextSize: 1024,
      backends: backends.map(({ endpoint }) => ({ endpoint, maxMemory: "34MiB" })),
      models: { files, settings },
      probe: { intervalMs: 200 },
      ...own,
    },
  );
}

async function recite(synaptic: Synaptic, name: string): Promise<string> {
  const body = { model: name, prompt: "Recite", stream: true, max_tokens: 200 };
  return (await hear(await synaptic.post("/v1/completions", body))).text;
}

/** A few words of it. */
async function ask(synaptic: Synaptic, name: string): Promise<string> {
  return await textOf(await synaptic.post("/v1/completions", { model: name, prompt: "Recite", max_tokens: 8 }));
}

async function placesOf(synaptic: Synaptic): Promise<Readonly<Record<string, readonly string[]>>> {
  const { coordinators } = await synaptic.status();
  const loaded = coordinators.filter(({ state }) => state === "ready");
  return Object.fromEntries(
    loaded.map(({ model: name, plan }) => [name, (plan?.backends ?? []).map(({ endpoint }) => endpoint)]),
  );
}

async function end(synaptic: Synaptic): Promise<void> {
  synaptic.kill("SIGTERM");
  expect(await synaptic.exited).toBe(0);
}

test("two models answer at the same time on four backends; a third ends the longest unused of them, and no other", async () => {
  const synaptic = await serve(configOf());
  const [a, b] = [await synaptic.load("a"), await synaptic.load("b")];
  const places = await placesOf(synaptic);
  expect([...(places.a ?? []), ...(places.b ?? [])].toSorted()).toEqual(
    backends.map(({ endpoint }) => endpoint).sort(),
  );
  expect(await Promise.all(["a", "b", "a", "b"].map((name) => recite(synaptic, name)))).toEqual(
    Array.from({ length: 4 }, () => RECITATION),
  );
  expect(await recite(synaptic, "a")).toBe(RECITATION);
  expect(await recite(synaptic, "c")).toBe(RECITATION);
  expect([isRunning(a), isRunning(b)]).toEqual([true, false]);
  expect(await placesOf(synaptic)).toEqual({ a: places.a ?? [], c: places.b ?? [] });
  expect(synaptic.stderr()).toContain("unloading b to make room for c");
  await end(synaptic);
});

test("a pinned model stays, is preloaded with others, and is named to the one that it is in the way of", async () => {
  const settings = { a: { pin: true, preload: true }, b: { preload: true } };
  const synaptic = await serve(configOf({}, settings));
  await synaptic.untilStatus("the preloads", ({ ready }) => ready || null);
  const { pid, pinned } = await synaptic.coordinator("a");
  expect(pinned).toBe(true);
  expect(Object.keys(await placesOf(synaptic))).toEqual(["a", "b"]);
  expect(await recite(synaptic, "c")).toBe(RECITATION);
  expect(await recite(synaptic, "d")).toBe(RECITATION);
  expect(Object.keys(await placesOf(synaptic))).toEqual(["a", "d"]);
  const refused = await synaptic.post("/v1/completions", { model: "large", prompt: "Recite" });
  expect([refused.status, await refused.text()]).toEqual([
    503,
    expect.stringContaining("Cannot load large: its room is held by the pinned model a"),
  ]);
  expect((await synaptic.coordinator("a")).pid).toBe(pid);
  const { stdout } = await lab.run(["status", ...synaptic.portFlag], { config: configOf() });
  expect(stdout).toMatch(/a +ready .*pinned/);
  await end(synaptic);
});

test("two hundred requests in a thrashing order are all answered, with a load for few of them", async () => {
  const swap = { longestWaitMs: 500, leastResidencyMs: 1_000 };
  const synaptic = await serve(configOf({ swap }));
  const names = ["a", "b", "c", "d"];
  const answers: string[] = [];
  const client = async (first: number): Promise<void> => {
    for (let turn = 0; turn < 10; turn++) answers.push(await ask(synaptic, names[(first + turn) % 4] ?? ""));
  };
  await Promise.all(Array.from({ length: 20 }, (_, index) => client(index)));
  expect(answers).toHaveLength(200);
  expect(answers.filter((text) => text === "" || !RECITATION.startsWith(text))).toEqual([]);
  const loads = synaptic.stderr().match(/loading \w+ .*layers/g) ?? [];
  expect(loads.length).toBeLessThan(60);
  expect(synaptic.stderr()).not.toMatch(/ERROR|failed/i);
  await end(synaptic);
});

test("a model leaves when nobody has used it for its keepAlive, and gives its backends back", async () => {
  const synaptic = await serve(configOf({}, { a: { keepAlive: 0 } }));
  await ask(synaptic, "a");
  const isFree = await synaptic.untilStatus("the end of a", ({ backends: all }) => {
    return all.every(({ state }) => state === "up") || null;
  });
  expect(isFree).toBe(true);
  expect((await synaptic.coordinator("a")).state).toBe("idle");
  await end(synaptic);
});

test("two synaptics on one machine leave each other's models alone; on the same backends the second says that they are held", async () => {
  const own = { models: { files: { m: model } }, probe: { intervalMs: 200 } };
  const on = (some: readonly RealRpcServer[]) =>
    lab.config(
      some.map(({ endpoint }) => endpoint),
      own,
    );
  const [one, two] = [on(backends.slice(0, 2)), on(backends.slice(2))];
  const [first, second] = await Promise.all([serve(one), serve(two)]);
  const [mine, other] = await Promise.all([first.load("m"), second.load("m")]);
  const third = await serve(one);
  const refused = await third.post("/v1/completions", { model: "m", prompt: "Recite" });
  expect([refused.status, await refused.text()]).toEqual([503, expect.stringContaining("held by another client")]);
  await third.post("/synaptic/models/unload", { model: "m" });
  await end(third);
  expect([isRunning(mine), isRunning(other)]).toEqual([true, true]);
  await end(second);
  expect([isRunning(mine), isRunning(other)]).toEqual([true, false]);
  expect(await recite(first, "m")).toBe(RECITATION);
  await end(first);
});
