/** Speeds of real rpc-servers: a slow one is told from the others, kept, shown, and never in a request's way. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { MeasureRow } from "../../src/core/timing.ts";
import { freePort, type RealRpcServer } from "../fakes/real-rpc-server.ts";
import { BINARY, type Lab, openLab } from "./lab.ts";
import { until } from "./program.ts";
import { textOf } from "./synaptic.ts";

setDefaultTimeout(120_000);

let lab: Lab;
let backends: readonly RealRpcServer[];
let model: string;

beforeAll(async () => {
  lab = await openLab();
  [backends, model] = await Promise.all([lab.backends(3), lab.model({ layers: 12, type: "F16" })]);
});

afterAll(async () => await lab[Symbol.asyncDispose]());

function configOf(own: object): string {
  return lab.config(
    backends.map(({ endpoint }) => endpoint),
    { models: { files: { m: model } }, ...own },
  );
}

const RUN_MS = 5;
const PAUSE_MS = 25;

/** Lets a process run a sixth of the time, until what it returns is called. */
function slowDown({ kill }: RealRpcServer): () => void {
  let timer: NodeJS.Timeout;
  const pause = (): void => {
    kill("SIGSTOP");
    timer = setTimeout(run, PAUSE_MS);
  };
  const run = (): void => {
    kill("SIGCONT");
    timer = setTimeout(pause, RUN_MS);
  };
  pause();
  return () => {
    clearTimeout(timer);
    kill("SIGCONT");
  };
}

function speedsOf(rows: readonly MeasureRow[]): readonly number[] {
  return rows.map(({ timing }) => timing?.bytesPerSecond ?? 0);
}

test("measure ranks a slow backend last by far, keeps it, and asks a running synaptic to do it", async () => {
  const config = configOf({ listen: { port: freePort() } });
  const [, slow] = backends;
  if (!slow) throw new Error("no backend");
  const recover = slowDown(slow);
  const alone = await lab.run(["measure", "--json", "--head"], { config }).finally(recover);
  expect({ code: alone.code, stderr: alone.stderr }).toMatchObject({ code: 0 });
  const rows: readonly MeasureRow[] = JSON.parse(alone.stdout);
  expect(rows.map(({ endpoint }) => endpoint)).toEqual([...backends.map(({ endpoint }) => endpoint), "head"]);
  const [first = 0, second = 0, third = 0] = speedsOf(rows);
  expect(second).toBeGreaterThan(0);
  expect(second).toBeLessThan(Math.min(first, third) / 2);
  expect(alone.stderr).toContain(`measuring ${slow.endpoint}\n`);
  expect(alone.stderr).toMatch(/ measured: [\d.]+ GB\/s, [\d.]+ tokens\/s on the timing model\n/);
  const kept = JSON.parse(readFileSync(join(lab.home, ".local", "state", "synaptic", "speeds.json"), "utf8"));
  expect(Object.keys(kept.timings)).toHaveLength(4);

  // A server that starts now knows them, and times again when asked.
  const served = lab.start([BINARY, "--config", config]);
  await served.untilLine(/listens on/);
  await until("all speeds in `synaptic backends`", async () => {
    const { stdout } = await lab.run(["backends"], { config });
    return stdout.match(/ GB\/s/g)?.length === 3 ? stdout : null;
  });
  const beside = await lab.run(["measure", slow.endpoint], { config });
  expect({ code: beside.code, stderr: beside.stderr }).toMatchObject({ code: 0 });
  expect(beside.stderr).toContain("it is asked to measure");
  expect(beside.stdout).toMatch(new RegExp(`^${slow.endpoint} +cpu +[\\d.]+ GB/s +[\\d.]+ +20\\S+Z +`, "m"));
  // Not by SIGKILL: in the middle of a probe that would take the rpc-server along (facts/llamacpp.md b4).
  served.kill("SIGTERM");
  expect(await served.exited).toBe(0);
});

test("an idle server times its backends; a request does not wait for that, and no backend is hurt", async () => {
  const env = { XDG_STATE_HOME: join(lab.folder, "state") };
  const synaptic = await lab.serve({ config: configOf({ measure: { idleMs: 100 } }), env });
  await synaptic.untilLine(new RegExp(`measuring ${backends[0]?.endpoint}`));
  const asked = performance.now();
  const answer = await synaptic.post("/v1/completions", { model: "m", prompt: "Hi", max_tokens: 4 });
  expect(await textOf(answer)).toBe("Synaptic turns the machines");
  // A timing takes some seconds; a load of this model a fraction of one.
  expect(performance.now() - asked).toBeLessThan(10_000);
  expect(synaptic.stderr()).toContain("is not measured now: Cannot measure now: a model is being loaded");
  expect((await synaptic.post("/synaptic/models/unload", { model: "m" })).status).toBe(200);
  const areAllKnown = synaptic.untilStatus("the speed of all", ({ backends: seen }) =>
    seen.every(({ speed, state }) => speed && state === "up") ? seen : null,
  );
  await areAllKnown.catch((error) => Promise.reject(new Error(`${error}\n${synaptic.stderr()}`)));
  expect(await synaptic.load("m")).toBeGreaterThan(0);
});
