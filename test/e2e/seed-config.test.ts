/** The seed's own configuration file, shape for shape, with a model as deep as its 70B, from a folder with nothing else. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { RECITATION } from "../../scripts/recitation.ts";
import type { RealRpcServer } from "../fakes/real-rpc-server.ts";
import { BINARY, type Lab, openLab } from "./lab.ts";
import { connect, type Heard, hear, type Synaptic } from "./synaptic.ts";

setDefaultTimeout(60_000);

let lab: Lab;
let backends: readonly RealRpcServer[];
let config: { readonly path: string; readonly text: string; readonly modifiedMs: number };
let elsewhere: string;
let synaptic: Synaptic;
let heard: Heard;

/** PROOF_OF_MODEL_SHARDING.md of the replaced system, with this machine's addresses and our own key. */
function seedConfig(ports: readonly number[], model: string): string {
  const [a, b, c, d] = ports.map((port) => `{"host": "127.0.0.1", "port": ${port}}`);
  return `{ "model_sharding_enabled": true,
  "rpc_backends": [ ${a}, ${b},
                    ${c}, ${d} ],
  "synaptic": { "placement": "spread", "models": { "files": { "llama3.1:70b": ${JSON.stringify(model)} } } } }
`;
}

beforeAll(async () => {
  lab = await openLab();
  const [servers, model] = await Promise.all([lab.backends(4), lab.model({ layers: 80, type: "Q8_0" })]);
  backends = servers;
  const text = seedConfig(
    backends.map(({ port }) => port),
    model,
  );
  const path = lab.write(".synapticllamas.json", text, 0o444);
  config = { path, text, modifiedMs: statSync(path).mtimeMs };
  elsewhere = join(lab.folder, "elsewhere");
  mkdirSync(elsewhere);
  copyFileSync(BINARY, join(elsewhere, "synaptic"));
  const program = lab.start(["./synaptic", "--config", path], { cwd: elsewhere, env: { SYNAPTIC_PORT: "0" } });
  synaptic = await connect(program);
  const messages = [{ role: "user", content: "Please recite." }];
  heard = await hear(
    await synaptic.post("/v1/chat/completions", { model: "llama3.1:70b", messages, stream: true, max_tokens: 200 }),
  );
});

afterAll(async () => await lab[Symbol.asyncDispose]());

test("the binary alone in a folder streams the exact text of an 80-layer model", () => {
  expect(heard).toEqual({ text: RECITATION, done: true, error: null });
});

test("all four backends are proven to hold their share of the 81 layers", async () => {
  const { proof } = await synaptic.coordinator("llama3.1:70b");
  expect(proof).toMatchObject({ proven: true, problems: [], totalLayers: 81, offloadedLayers: 81 });
  expect(proof?.backends.map(({ endpoint }) => endpoint)).toEqual(backends.map(({ endpoint }) => endpoint));
  expect(proof?.backends.map(({ layers }) => layers)).toEqual([21, 20, 20, 20]);
  for (const { modelBytes, kvBytes } of proof?.backends ?? []) {
    expect(modelBytes).toBeGreaterThan(15e6);
    expect(kvBytes).toBeGreaterThan(15e6);
  }
});

test("the configuration file is as it was, byte for byte, and nothing was written beside it", () => {
  const { path, text, modifiedMs } = config;
  expect(readFileSync(path, "utf8")).toBe(text);
  expect(statSync(path).mtimeMs).toBe(modifiedMs);
  expect(readdirSync(elsewhere)).toEqual(["synaptic"]);
  // What loads took is kept where the system wants such things.
  expect(readdirSync(lab.home)).toEqual([".local"]);
  expect(readdirSync(join(lab.home, ".local", "state", "synaptic"))).toEqual(["loads.json"]);
});
