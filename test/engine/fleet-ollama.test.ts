/** A machine's memory is counted once, whoever holds it: Ollama's models beside ours. */
import { expect, test } from "bun:test";
import { GIB } from "../../src/core/units.ts";
import { answers, loadedModel } from "../fakes/ollama-port.ts";
import { modelOf } from "../fixtures/model-facts.ts";
import { entry, NEVER, setUp } from "./fleet-support.ts";

/** On the machine of the first backend. */
const NODE = "http://10.0.0.1:11434";
const LATER = "2026-11-24T19:00:00Z";
/** Fills most of two backends of 8 GiB: with the third one half taken, no room is left elsewhere. */
const LARGE = modelOf({ layers: 180 });

function held(gib: number) {
  const model = loadedModel("llama3:8b", { bytes: gib * GIB, expiresAt: LATER });
  return answers({ loaded: gib > 0 ? [model] : [], address: "10.0.0.1" });
}

async function setUpNode(own: Readonly<Record<string, unknown>> = {}) {
  const world = await setUp({ models: { large: LARGE }, own: { ollama: { nodes: [NODE], ...own } } });
  const load = (gib: number) => world.ollama.set(NODE, held(gib));
  world.ollama.onUnload = () => load(0);
  load(0);
  // Until it has answered twice: it refused connections at first.
  await world.clock.advance(15_000);
  return { ...world, load };
}

test("a plan leaves out a machine whose RAM an Ollama holds by now, though the last poll did not know it", async () => {
  const { load, use, leases } = await setUpNode();
  load(7);
  await use("a");
  expect(leases()).toEqual([null, "a", null]);
});

test("idle models of Ollama are unloaded for a model that fits only without them, and stay otherwise", async () => {
  const { load, use, leases, ollama, clock, log } = await setUpNode();
  load(6);
  await clock.advance(70_000);
  await use("a");
  expect(ollama.unloaded).toEqual([]);
  await use("large");
  expect(ollama.unloaded).toEqual([{ url: NODE, model: "llama3:8b" }]);
  expect(leases().filter((lease) => lease === "large")).toHaveLength(3);
  expect(log.lines().join("\n")).toContain("unloading llama3:8b (6.0 GiB) from Ollama at http://10.0.0.1:11434");
});

test("what somebody uses there, or the owner wants to stay, is left: the model is refused, and the refusal says who holds the RAM", async () => {
  const { load, fleet, ollama, clock } = await setUpNode({ unloadIdle: false });
  load(7);
  await clock.advance(70_000);
  const refused = fleet.acquire(entry("large"), NEVER).then(
    () => null,
    (error: unknown) => error,
  );
  await clock.advance(30_000);
  expect(await refused).toMatchObject({ code: "does_not_fit" });
  expect(ollama.unloaded).toEqual([]);
});
