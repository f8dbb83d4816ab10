/** Literal inputs for configuration tests. */
import { type ConfigResult, resolveConfig } from "../../src/core/config.ts";
import { configError } from "../../src/core/config-problems.ts";
import type { ConfigInput } from "../../src/core/config-sources.ts";
import type { Config } from "../../src/core/config-types.ts";
import { describeError } from "../../src/core/errors.ts";

export const FILE = "/home/u/.synapticllamas.json";

export function resolve(value: unknown, more: Partial<ConfigInput> = {}): ConfigResult {
  const file = { path: FILE, value };
  return resolveConfig({ file, flags: {}, env: {}, sideFiles: {}, home: "/home/u", serving: true, ...more });
}

/** The configuration, or a failed test that shows what is wrong. */
export function accepted(value: unknown, more: Partial<ConfigInput> = {}): Config {
  const result = resolve(value, more);
  if (!result.ok) throw new Error(describeError(configError(result.problems, FILE)));
  return result.config;
}

/** Message and hint as a terminal shows them. */
export function refusal(value: unknown, more: Partial<ConfigInput> = {}): string {
  const result = resolve(value, more);
  if (result.ok) throw new Error("accepted, though a refusal was expected");
  return describeError(configError(result.problems, FILE));
}

export function backends(...list: unknown[]): { rpc_backends: unknown[] } {
  return { rpc_backends: list };
}

export const FOUR = ["10.9.66.154", "10.9.66.48", "10.9.66.45", "10.9.66.90"].map((host) => ({ host, port: 50052 }));
