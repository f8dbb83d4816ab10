/** What `backends`, `plan`, `prove` and `status` answer, alone and beside a running synaptic. */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { RECITATION } from "../../scripts/recitation.ts";
import { freePort, type RealRpcServer } from "../fakes/real-rpc-server.ts";
import { FakeRpcServer } from "../fakes/rpc-server.ts";
import { BINARY, type Lab, openLab } from "./lab.ts";
import type { Synaptic } from "./synaptic.ts";

setDefaultTimeout(60_000);

let lab: Lab;
let model: string;
let backends: readonly RealRpcServer[];
let config: string;

beforeAll(async () => {
  lab = await openLab();
  [backends, model] = await Promise.all([lab.backends(2), lab.model({ layers: 12, type: "F16" })]);
  config = lab.config(endpointsOf(backends), { models: { files: { m: model } }, listen: { port: freePort() } });
});

afterAll(async () => await lab[Symbol.asyncDispose]());

function endpointsOf(servers: readonly Pick<RealRpcServer, "endpoint">[]) {
  return servers.map(({ endpoint }) => endpoint);
}

describe("with nobody serving", () => {
  test("backends prints a table, exits with 0 when all are up and with 1 when one is down", async () => {
    const good = await lab.run(["backends"], { config });
    expect({ code: good.code, stderr: good.stderr }).toEqual({ code: 0, stderr: "" });
    const [header, ...rows] = good.stdout.trimEnd().split("\n");
    expect(header).toMatch(/^BACKEND +STATE +RPC +RTT +DEVICES +FREE +SPEED$/);
    expect(rows).toHaveLength(2);
    expect(rows[0]).toMatch(
      new RegExp(`^${backends[0]?.endpoint} +up +8\\.\\d\\.\\d +[\\d.]+ ms +cpu +[\\d.]+ .iB +-$`),
    );
    const bad = await lab.run(["backends"], { config: lab.config([...endpointsOf(backends), "127.0.0.1:9"]) });
    expect(bad.code).toBe(1);
    expect(bad.stdout).toMatch(/127\.0\.0\.1:9 +down .*connection refused/);
  });

  test("--json prints nothing but JSON on stdout, whatever there is to warn of", async () => {
    const odd = lab.config(["127.0.0.1:9"], { placment: "fewest", models: { files: { m: model } } });
    const { code, stdout, stderr } = await lab.run(["backends", "--json"], { config: odd });
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject([{ endpoint: "127.0.0.1:9", state: "down" }]);
    expect(stderr).toMatch(/warn {2}Unknown keys have no effect: synaptic\.placment \(did you mean placement\?\)/);
  });

  test("plan prints a table, the reasons, and the exact command, which a shell can run", async () => {
    const { code, stdout, stderr } = await lab.run(["plan", "m"], { config });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^m: 13 of 13 layers placed \(spread\)/);
    expect(stdout).toMatch(/^WHERE +LAYERS +MODEL +KV CACHE +COMPUTE$/m);
    expect(stdout).toContain(`--rpc ${endpointsOf(backends).join(",")} --gpu-layers 13`);
    expect(stdout).toContain("- survives the loss of any one of: ");
  });

  test("plan --json has the shape of the design: shares with bytes per backend and device, head, survives, command", async () => {
    const { stdout } = await lab.run(["plan", "m", "--json"], { config });
    const share = {
      layers: 7,
      modelBytes: expect.any(Number),
      kvBytes: expect.any(Number),
      computeBytes: expect.any(Number),
    };
    expect(JSON.parse(stdout)).toMatchObject({
      model: "m",
      placement: "spread",
      contextSize: 4096,
      parallel: 4,
      totalLayers: 13,
      offloadedLayers: 13,
      backends: [
        { endpoint: backends[0]?.endpoint, ...share, devices: [{ index: 0, kind: "cpu", ...share }] },
        { layers: 6 },
      ],
      head: { modelBytes: expect.any(Number), computeBytes: expect.any(Number), devices: [] },
      survives: endpointsOf(backends),
      reasons: expect.any(Array),
      command: expect.arrayContaining(["--model", model, "--tensor-split", "7,6"]),
    });
  });

  test("plan takes the path of a GGUF file that is not in the config, relative or absolute", async () => {
    const empty = lab.config(endpointsOf(backends));
    const relative = await lab.run(["plan", `./${basename(model)}`], { config: empty, cwd: join(model, "..") });
    expect(relative.stderr).toBe("");
    expect(relative.stdout).toContain(` --model ${model} --alias ${basename(model, ".gguf")} `);
    const absolute = await lab.run(["plan", model], { config: empty });
    expect(absolute.stdout).toBe(relative.stdout);
  });

  test("plan exits with 1 and says why when a model is unknown or nothing is there to hold it", async () => {
    const unknown = await lab.run(["plan", "n"], { config });
    expect(unknown).toEqual({ code: 1, stdout: "", stderr: "The model 'n' does not exist\n  known here: m\n" });
    const alone = await lab.run(["plan", model, "--json"], { config: lab.config([]) });
    expect({ code: alone.code, stdout: alone.stdout }).toEqual({ code: 1, stdout: "" });
    expect(alone.stderr).toMatch(/^Cannot place 12-F16: no backend is configured$/m);
  });

  test("prove needs no key of the config's own while nobody serves", async () => {
    const hash = `sha256:${"0".repeat(64)}`;
    const own = { models: { files: { m: model } }, placement: "spread", keys: [{ name: "a", hash, scopes: ["use"] }] };
    const { code, stderr } = await lab.run(["prove", "m"], { config: lab.config(endpointsOf(backends), own) });
    expect(stderr).not.toContain("wants a key");
    expect(code).toBe(0);
  });

  test("prove writes its report with the text and the verdict, shows it on stdout, and exits with 0", async () => {
    const out = join(lab.folder, "reports", "proof.md");
    const { code, stdout, stderr } = await lab.run(["prove", "m", "--out", out], { config });
    expect(code).toBe(0);
    expect(readFileSync(out, "utf8")).toBe(stdout);
    expect(stdout).toStartWith("# Proof of sharding: m\n");
    expect(stdout).toContain(`\n${RECITATION}\n`);
    expect(stdout).toContain(`${backends[0]?.endpoint}  7 / 7`);
    expect(stdout).toMatch(/^PROVEN: 13 of 13 layers of m lie on 2 RPC backends, as planned, /m);
    expect(stderr).toContain(`${RECITATION}\n`);
  });

  test("prove --json prints one JSON value with plan, proof and text", async () => {
    const { code, stdout } = await lab.run(["prove", "m", "--json", "--max-tokens", "3"], { config });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      proven: true,
      speech: { model: "m", text: "Synaptic turns the" },
      plan: { totalLayers: 13 },
      proof: { proven: true, offloadedLayers: 13 },
    });
  });

  test("prove exits with 1 and writes no report when there is no backend", async () => {
    const out = join(lab.folder, "none.md");
    const { code, stdout, stderr } = await lab.run(["prove", model, "--out", out], {
      config: lab.config(["127.0.0.1:9"]),
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("Cannot place 12-F16: 127.0.0.1:9 connection refused");
    expect(existsSync(out)).toBe(false);
  });

  test("prove --verbose shows what llama-server logs", async () => {
    const { stderr } = await lab.run(["prove", "m", "--verbose", "--max-tokens", "1"], { config });
    expect(stderr).toMatch(/debug .*offloaded 13\/13 layers to GPU/);
  });

  test("SIGINT ends a command that still waits for a backend with exit code 130, at once", async () => {
    const stalled = new FakeRpcServer({ tag: "stall" });
    const patient = lab.config([stalled.endpoint], { probe: { timeoutMs: 9_000 } });
    const program = lab.start([BINARY, "backends", "--port", "0", "--config", patient]);
    await stalled.until(() => stalled.connections === 1);
    program.kill("SIGINT");
    expect(await program.exited).toBe(130);
    expect(program.stdout()).toBe("");
    stalled.stop();
  });

  test("status, load and unload exit with 1 and say how to start one", async () => {
    for (const command of [["status"], ["load", "m"], ["unload", "m"]]) {
      const { code, stdout, stderr } = await lab.run(command, { config });
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toContain("no synaptic runs at the configured address\n  start it with `synaptic serve`");
    }
  });

  test("an address where something else answers is refused, and one where nobody does is not waited for in vain", async () => {
    const stranger = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
    const other = await lab.run(["backends", "--port", String(stranger.port)], { config });
    expect(other).toMatchObject({ code: 2, stdout: "" });
    expect(other.stderr).toContain("what answers there is not synaptic");
    await stranger.stop(true);
    const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const mute = await lab.run(["backends", "--port", String(silent.port)], { config });
    expect(mute).toMatchObject({ code: 1, stdout: "" });
    expect(mute.stderr).toContain("no answer within 1.5 s");
    silent.stop(true);
  });
});

describe("beside a running synaptic", () => {
  let synaptic: Synaptic;

  afterEach(async () => {
    synaptic.kill("SIGTERM");
    await synaptic.exited;
  });

  test("backends, plan, prove and status ask it, and open no connection to a backend", async () => {
    const watched = new FakeRpcServer();
    try {
      const shared = lab.config([watched.endpoint, ...endpointsOf(backends)], {
        models: { files: { m: model } },
        backends: [
          { endpoint: watched.endpoint, layers: 0 },
          { endpoint: backends[0]?.endpoint, layers: 7 },
          { endpoint: backends[1]?.endpoint, layers: 6 },
        ],
        placement: "pinned",
        probe: { intervalMs: 3_600_000 },
      });
      synaptic = await lab.serve({ config: shared });
      await synaptic.load("m");
      const beside = (...args: string[]) => lab.run([...args, ...synaptic.portFlag], { config: shared });
      const before = watched.connections;
      const backendsTable = await beside("backends");
      expect(backendsTable.stdout).toMatch(new RegExp(`${backends[0]?.endpoint} +leased .* held for m`));
      const status = await beside("status");
      expect(status.stdout).toMatch(/^m +ready +0\/4 +0 +[\d.]+ +proven +-$/m);
      expect(watched.connections).toBe(before);
      // A plan and a load look at what is free first: the server itself does, once each.
      expect((await beside("plan", "m", "--json")).code).toBe(0);
      expect((await beside("prove", "m", "--json")).code).toBe(0);
      expect(watched.connections).toBe(before + 1);
      expect(await synaptic.backend(backends[0]?.endpoint ?? "-:0")).toMatchObject({ state: "leased" });
    } finally {
      watched.stop();
    }
  });

  test("load loads a model and says where it lies, again at once; unload ends it; each is told in JSON when asked", async () => {
    synaptic = await lab.serve({ config });
    const beside = (...args: string[]) => lab.run([...args, ...synaptic.portFlag], { config });
    const loaded = `m is loaded: 13 of 13 layers, 7 on ${backends[0]?.endpoint}, 6 on ${backends[1]?.endpoint}\n`;
    expect(await beside("load", "m")).toMatchObject({ code: 0, stdout: loaded });
    expect(await synaptic.coordinator("m")).toMatchObject({ state: "ready", etaMs: null });
    expect((await beside("load", model)).stdout).toBe(loaded);
    const told = await beside("load", "m", "--json");
    expect(JSON.parse(told.stdout)).toMatchObject({ model: "m", state: "ready", proof: { proven: true } });
    expect(await beside("unload", "m")).toMatchObject({ code: 0, stdout: "m is unloaded\n", stderr: "" });
    expect(await synaptic.coordinator("m")).toMatchObject({ state: "idle", pid: null });
    expect(JSON.parse((await beside("unload", "m", "--json")).stdout)).toEqual({ model: "m", state: "idle" });
    const unknown = await beside("load", "n");
    expect(unknown).toMatchObject({ code: 1, stdout: "" });
    expect(unknown.stderr).toContain("The model 'n' does not exist");
  });

  test("a GGUF file that it does not know is refused with the way out, one that it knows is planned", async () => {
    synaptic = await lab.serve({ config });
    const known = await lab.run(["plan", model, ...synaptic.portFlag], { config });
    expect(known.stdout).toStartWith("m: 13 of 13 layers");
    const unknown = await lab.run(["plan", "/nowhere/n.gguf", ...synaptic.portFlag], { config });
    expect(unknown).toMatchObject({ code: 1, stdout: "" });
    expect(unknown.stderr).toContain(`a synaptic runs at ${synaptic.url} and does not know it`);
  });

  test("a server that wants a key is asked with SYNAPTIC_API_KEY, and without it the command says what to set", async () => {
    synaptic = await lab.serve({ config, env: { SYNAPTIC_API_KEY: "s3cret" } });
    const good = await lab.run(["status", ...synaptic.portFlag], { config, env: { SYNAPTIC_API_KEY: "s3cret" } });
    expect(good.code).toBe(0);
    const bad = await lab.run(["status", ...synaptic.portFlag], { config });
    expect(bad).toMatchObject({ code: 1, stdout: "" });
    expect(bad.stderr).toBe(`Cannot ask ${synaptic.url}: it wants a key\n  set SYNAPTIC_API_KEY\n`);
  });
});
