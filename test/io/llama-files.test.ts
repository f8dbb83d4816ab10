import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SynapticError } from "../../src/core/errors.ts";
import { findLlamaServer, findRpcServer, llamaCacheFolder } from "../../src/io/llama-files.ts";

let root = "";

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "synaptic-files-"));
  for (const path of [
    "config/llama-server",
    "env/llama-server",
    "path/llama-server",
    "path/ggml-rpc-server",
    "both/rpc-server",
    "both/ggml-rpc-server",
    "cache/synaptic/llama/llama-server",
    "cache/synaptic/llama/rpc-server",
  ]) {
    program(path);
  }
  writeFileSync(program("plain/llama-server"), "no program");
  chmodSync(at("plain/llama-server"), 0o644);
  mkdirSync(at("folder/llama-server"), { recursive: true });
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

function at(path: string): string {
  return join(root, path);
}

function program(path: string): string {
  mkdirSync(join(at(path), ".."), { recursive: true });
  writeFileSync(at(path), "#!/bin/sh\n", { mode: 0o755 });
  return at(path);
}

function failure(work: () => unknown): SynapticError {
  try {
    work();
  } catch (error) {
    if (error instanceof SynapticError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("findLlamaServer()", () => {
  const everywhere = () => ({
    LLAMA_SERVER_PATH: at("env/llama-server"),
    PATH: at("path"),
    XDG_CACHE_HOME: at("cache"),
    HOME: root,
  });

  const withoutVariable = () => ({ ...everywhere(), LLAMA_SERVER_PATH: "" });

  test("prefers the environment to the config to PATH to the private copy", () => {
    const env = withoutVariable();
    const configured = [at("config/llama-server")];
    const fromEnvironment = { path: at("env/llama-server"), source: "environment" } as const;
    expect(findLlamaServer({ configured, env: everywhere() })).toEqual(fromEnvironment);
    expect(findLlamaServer({ configured, env })).toEqual({ path: at("config/llama-server"), source: "config" });
    expect(findLlamaServer({ env })).toEqual({
      path: at("path/llama-server"),
      source: "path",
    });
    expect(findLlamaServer({ env: { XDG_CACHE_HOME: at("cache") } })).toEqual({
      path: at("cache/synaptic/llama/llama-server"),
      source: "cache",
    });
  });

  test("expands ~/ and looks for a bare name on PATH", () => {
    const env = withoutVariable();
    expect(findLlamaServer({ configured: ["~/config/llama-server"], env }).path).toBe(at("config/llama-server"));
    expect(findLlamaServer({ configured: ["llama-server"], env }).path).toBe(at("path/llama-server"));
  });

  test.each([
    ["gone/llama-server", "there is no such file"],
    ["config/llama-server/under-a-file", "ENOTDIR: not a directory"],
    ["plain/llama-server", "it is not executable"],
    ["folder/llama-server", "it is a folder"],
  ])("refuses %s from config and environment instead of passing it over", (path, why) => {
    const fromConfig = failure(() => findLlamaServer({ configured: [at(path)], env: withoutVariable() }));
    expect(fromConfig.code).toBe("config_invalid");
    expect(fromConfig.message).toStartWith(`Cannot use llama-server at ${at(path)}: ${why}`);
    expect(fromConfig.hint).toContain("synaptic.llamaServer");
    const fromEnvironment = failure(() => findLlamaServer({ env: { ...everywhere(), LLAMA_SERVER_PATH: at(path) } }));
    expect(fromEnvironment.code).toBe("config_invalid");
    expect(fromEnvironment.hint).toContain("LLAMA_SERVER_PATH");
  });

  test("refuses a second configured build that is wrong", () => {
    const configured = [at("config/llama-server"), at("gone/llama-server")];
    expect(failure(() => findLlamaServer({ configured, env: {} })).message).toContain("gone/llama-server");
  });

  test("passes over what is no program on PATH", () => {
    const PATH = [at("plain"), at("folder"), "relative", "", at("path")].join(":");
    expect(findLlamaServer({ env: { PATH } }).path).toBe(at("path/llama-server"));
  });

  test("says how to get one when there is none", () => {
    const error = failure(() => findLlamaServer({ env: { PATH: at("gone"), HOME: root } }));
    expect(error.code).toBe("coordinator_failed");
    expect(error.message).toContain("Cannot find llama-server");
    for (const way of ["npm run llama", "Homebrew", "GGML_RPC=ON", "LLAMA_SERVER_PATH"])
      expect(error.hint).toContain(way);
  });
});

describe("findRpcServer()", () => {
  test("knows both names on PATH, the shorter one first", () => {
    expect(findRpcServer({ env: { PATH: at("path") } })).toEqual({ path: at("path/ggml-rpc-server"), source: "path" });
    expect(findRpcServer({ env: { PATH: at("both") } }).path).toBe(at("both/rpc-server"));
  });

  test("does not look beside llama-server", () => {
    const env = { LLAMA_SERVER_PATH: at("both/llama-server"), PATH: "", XDG_CACHE_HOME: at("cache") };
    expect(findRpcServer({ env }).path).not.toContain("both");
  });
});

describe("llamaCacheFolder()", () => {
  test("obeys XDG_CACHE_HOME unless it is relative, as its specification says", () => {
    expect(llamaCacheFolder({ XDG_CACHE_HOME: "/c", HOME: "/h" })).toBe("/c/synaptic/llama");
    expect(llamaCacheFolder({ XDG_CACHE_HOME: "c", HOME: "/h" })).toMatch(
      /^\/h\/(?:\.cache|Library\/Caches)\/synaptic\/llama$/,
    );
  });
});
