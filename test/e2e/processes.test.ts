/** How synaptic ends, and that no llama-server outlives it. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { RECITATION } from "../../scripts/recitation.ts";
import { probeBackend } from "../../src/io/rpc-client.ts";
import type { RealRpcServer } from "../fakes/real-rpc-server.ts";
import { isRunning, type Lab, openLab, untilGone } from "./lab.ts";
import { hear, type Synaptic } from "./synaptic.ts";

setDefaultTimeout(60_000);

let lab: Lab;
let backends: readonly RealRpcServer[];
let model: string;
let config: string;

beforeAll(async () => {
  lab = await openLab();
  [backends, model] = await Promise.all([lab.backends(2), lab.model({ layers: 12, type: "F16" })]);
  config = configOf(backends);
});

function configOf(servers: readonly RealRpcServer[]): string {
  const endpoints = servers.map(({ endpoint }) => endpoint);
  return lab.config(endpoints, { models: { files: { m: model } } });
}

afterAll(async () => await lab[Symbol.asyncDispose]());

/** All programs of PATH but setpriv. */
function pathWithoutSetpriv(): string {
  const folder = join(lab.folder, "bin");
  mkdirSync(folder);
  const seen = new Set(["setpriv"]);
  for (const source of (process.env.PATH ?? "").split(":").filter(isAbsolute)) {
    for (const name of programsIn(source).filter((one) => !seen.has(one))) {
      seen.add(name);
      symlinkSync(join(source, name), join(folder, name));
    }
  }
  return folder;
}

function programsIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // PATH may name folders that are not there.
  }
}

async function areFree(): Promise<boolean> {
  const signal = AbortSignal.timeout(5_000);
  const probes = backends.map(({ endpoint }) => probeBackend(endpoint, { timeoutMs: 5_000, signal }));
  return (await Promise.all(probes)).every(({ tag }) => tag === "up");
}

/** A stream under way that never ends by itself; settles with its first text. */
async function startStream(synaptic: Synaptic): Promise<{ readonly ended: Promise<unknown> }> {
  const body = { model: "m", prompt: "Recite", stream: true, max_tokens: 3000, ignore_eos: true };
  const response = await synaptic.post("/v1/completions", body);
  const started = Promise.withResolvers<void>();
  const ended = hear(response, () => started.resolve()).catch((error: unknown) => error);
  await Promise.race([started.promise, ended]);
  return { ended };
}

const ways = [
  { name: "by the kernel's signal", path: () => process.env.PATH },
  { name: "by the end of its stdin, where there is no setpriv", path: pathWithoutSetpriv },
];

describe.each(ways)("killed with SIGKILL, synaptic leaves no llama-server behind ($name)", ({ path }) => {
  let env: { readonly PATH: string | undefined };

  beforeAll(() => {
    env = { PATH: path() };
  });

  test("while a model is loaded", async () => {
    const synaptic = await lab.serve({ config, env });
    const pid = await synaptic.load("m");
    expect(isRunning(pid)).toBe(true);
    synaptic.kill("SIGKILL");
    await untilGone(pid);
    expect(await areFree()).toBe(true);
  });

  // In the middle of an answer an rpc-server may die of SIGPIPE with its client: these two have backends of their own.
  test("while it streams", async () => {
    const synaptic = await lab.serve({ config: configOf(await lab.backends(2)), env });
    const pid = await synaptic.load("m");
    const { ended } = await startStream(synaptic);
    synaptic.kill("SIGKILL");
    await untilGone(pid);
    await ended;
  });

  test("while one of its backends hangs", async () => {
    const own = await lab.backends(2);
    const synaptic = await lab.serve({ config: configOf(own), env });
    const pid = await synaptic.load("m");
    const { ended } = await startStream(synaptic);
    own[0]?.kill("SIGSTOP");
    synaptic.kill("SIGKILL");
    await untilGone(pid);
    await ended;
  });
});

describe("a signal", () => {
  test("SIGTERM ends it with exit code 0, its llama-server with it, and its backends are free again", async () => {
    const synaptic = await lab.serve({ config });
    const pid = await synaptic.load("m");
    synaptic.kill("SIGTERM");
    expect(await synaptic.exited).toBe(0);
    expect(isRunning(pid)).toBe(false);
    expect(await areFree()).toBe(true);
  });

  test("SIGTERM while a model loads ends it with exit code 0, and its llama-server with it", async () => {
    const synaptic = await lab.serve({ config });
    const load = synaptic.load("m").catch(() => {});
    const pid = await synaptic.untilStatus("the spawn", ({ coordinators }) => coordinators[0]?.pid);
    synaptic.kill("SIGTERM");
    expect(await synaptic.exited).toBe(0);
    expect(isRunning(pid)).toBe(false);
    await load;
  });

  test("Ctrl-C, which reaches its whole process group, lets a running answer come to its end", async () => {
    const synaptic = await lab.serve({ config });
    await synaptic.load("m");
    const body = { model: "m", prompt: "Recite", stream: true, max_tokens: 200 };
    const interrupt = once(() => process.kill(-synaptic.pid, "SIGINT"));
    const heard = await hear(await synaptic.post("/v1/completions", body), (text) => {
      if (text !== "") interrupt();
    });
    expect(heard).toEqual({ text: RECITATION, done: true, error: null });
    expect(await synaptic.exited).toBe(0);
  });

  test("a second SIGINT ends it at once, with its llama-server, though an answer is still running", async () => {
    const synaptic = await lab.serve({ config: configOf(await lab.backends(2)) });
    const pid = await synaptic.load("m");
    const { ended } = await startStream(synaptic);
    synaptic.kill("SIGINT");
    await synaptic.untilLine(/stopping when the running answers have ended/);
    expect(isRunning(pid)).toBe(true);
    synaptic.kill("SIGINT");
    expect(await synaptic.exited).toBe(130);
    await untilGone(pid);
    await ended;
  });

  test("SIGTERM does not wait for clients that only keep their connection open", async () => {
    const synaptic = await lab.serve({ config });
    const { hostname, port } = new URL(synaptic.url);
    const answered = Promise.withResolvers<void>();
    const socket = await Bun.connect({ hostname, port: Number(port), socket: { data: () => answered.resolve() } });
    socket.write(`GET /healthz HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
    await answered.promise;
    const before = performance.now();
    synaptic.kill("SIGTERM");
    expect(await synaptic.exited).toBe(0);
    expect(performance.now() - before).toBeLessThan(5_000);
  });
});

test("a port that is taken ends the start with exit code 2 and the way out", async () => {
  const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { code, stdout, stderr } = await lab.run(["--port", String(taken.port)], { config });
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain(
    `Cannot listen on 127.0.0.1:${taken.port}: the port is in use\n  is synaptic running already`,
  );
  taken.stop(true);
});

function once(run: () => void): () => void {
  let ran = false;
  return () => {
    if (!ran) run();
    ran = true;
  };
}
