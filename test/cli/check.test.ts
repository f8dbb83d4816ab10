/** What `check` and `config schema` print. */
import { expect, test } from "bun:test";
import { checkCommand } from "../../src/cli/check.ts";
import { configSchemaCommand } from "../../src/cli/config.ts";
import type { Config } from "../../src/core/config-types.ts";
import { accepted, FILE, FOUR } from "../core/config-support.ts";

function printed(config: Config): string {
  let text = "";
  expect(checkCommand(config, { json: false, write: (part) => (text += part), nodes: [] })).toBe(0);
  return text;
}

test("checkCommand() prints each value with where it came from, and warnings last", () => {
  const text = printed(
    accepted({ rpc_backends: FOUR, synaptic: { placement: "spread" } }, { flags: { port: "9000" } }),
  );
  expect(text).toStartWith(`Configuration: ${FILE}\n`);
  expect(text).toMatch(/^ {2}listen\.host +127\.0\.0\.1 +default$/m);
  expect(text).toMatch(/^ {2}listen\.port +9000 +--port$/m);
  expect(text).toMatch(/^ {2}placement +spread +file: synaptic\.placement$/m);
  expect(text).toMatch(/^ {2}backends +4 +file: rpc_backends$/m);
  expect(text).toContain("10.9.66.154:50052\n");
  expect(text.trimEnd().split("\n").at(-1)).toStartWith("warning: model_sharding_enabled is not given");
  expect(text).not.toMatch(/ $/m);
});

test("checkCommand() names every value that the configuration records a source for", () => {
  const config = accepted({});
  const text = printed(config);
  for (const name of Object.keys(config.sources)) expect(text).toContain(name.replace(/Ms$/, ""));
});

test("checkCommand() shows a model's keepAlive as a duration, as the general one", () => {
  const settings = { a: { keepAlive: -1 }, b: { keepAlive: "90s" } };
  const text = printed(accepted({ synaptic: { models: { files: { a: "/a", b: "/b" }, settings } } }));
  expect(text).toContain("a: keepAlive for ever");
  expect(text).toContain("b: keepAlive 1 min 30 s");
});

test("checkCommand() shows neither keys, hashes nor variables", () => {
  const settings = { m: { env: { TOKEN: "s3cr3t" } } };
  const keys = [{ name: "ann", hash: `sha256:${"ab".repeat(32)}`, scopes: ["use"] }];
  const models = { files: { m: "/m" }, settings };
  const text = printed(accepted({ synaptic: { models, keys } }, { env: { SYNAPTIC_API_KEY: "topsecret" } }));
  expect(text).toMatch(/^ {2}apiKey +set, not shown +SYNAPTIC_API_KEY$/m);
  expect(text).toContain("ann (use)");
  expect(text).toContain("env TOKEN");
  for (const secret of ["topsecret", "s3cr3t", "abab"]) expect(text).not.toContain(secret);
});

test("configSchemaCommand() prints one JSON document", () => {
  let text = "";
  expect(configSchemaCommand((part) => (text += part))).toBe(0);
  expect(JSON.parse(text).title).toBe("synaptic configuration");
});
