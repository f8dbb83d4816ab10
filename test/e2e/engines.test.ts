/** Engines and model files that are not what they should be: synaptic serves on and says what to do. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Lab, openLab, type RunOptions } from "./lab.ts";

setDefaultTimeout(60_000);

let lab: Lab;
let model: string;
let config: string;

beforeAll(async () => {
  lab = await openLab();
  const [backend, path] = await Promise.all([lab.backend(), lab.model({ layers: 4, type: "F16" })]);
  model = path;
  const whole = readFileSync(model);
  const files = {
    m: model,
    truncated: lab.write("truncated.gguf", ""),
    short: join(lab.folder, "short.gguf"),
    wrong: lab.write("wrong.gguf", "ABCD, and what else a file may begin with"),
    missing: join(lab.folder, "missing.gguf"),
  };
  await Bun.write(files.truncated, whole.subarray(0, 4096));
  await Bun.write(files.short, whole.subarray(0, whole.length - 1_000_000));
  config = lab.config([backend.endpoint], { models: { files } });
});

afterAll(async () => await lab[Symbol.asyncDispose]());

interface Engine {
  readonly what: string;
  readonly env: () => NonNullable<RunOptions["env"]>;
  readonly says: RegExp;
  readonly hint: RegExp;
}

function script(name: string, body: string, mode = 0o755): string {
  return lab.write(`engines/${name}`, `#!/bin/sh\n${body}\n`, mode);
}

function emptyFolder(): string {
  const folder = join(lab.folder, "nothing");
  mkdirSync(folder, { recursive: true });
  return folder;
}

const ENGINES: readonly Engine[] = [
  {
    what: "is nowhere",
    env: () => ({ PATH: emptyFolder(), LLAMA_SERVER_PATH: undefined }),
    says: /Cannot find llama-server: /,
    hint: /npm run llama|set LLAMA_SERVER_PATH/,
  },
  {
    what: "is not executable",
    env: () => ({ LLAMA_SERVER_PATH: script("plain", "exit 0", 0o644) }),
    says: /Cannot use llama-server at \S+plain: it is not executable/,
    hint: /LLAMA_SERVER_PATH must name the llama-server program/,
  },
  {
    what: "knows no --rpc",
    env: () => ({
      LLAMA_SERVER_PATH: script(
        "no-rpc",
        `case "$*" in *--rpc*) echo "error: invalid argument: --rpc" >&2; exit 1;; esac\nexec "${lab.llamaServer}" "$@"`,
      ),
    }),
    says: /llama-server at \S+no-rpc was built without RPC/,
    hint: /GGML_RPC=ON/,
  },
  {
    what: "is another program",
    env: () => ({ LLAMA_SERVER_PATH: script("other", "echo hello") }),
    says: /Cannot read the version of llama-server at \S+other/,
    hint: /is it llama.cpp's llama-server/,
  },
];

describe.each(ENGINES)("a llama-server that $what", ({ env, says, hint }) => {
  test("does not keep synaptic from listening, and requests are told what to do", async () => {
    const synaptic = await lab.serve({ config, env: env() });
    await synaptic.untilLine(says);
    expect(await synaptic.untilStatus("readiness", ({ ready }) => ready || null)).toBe(true);
    const response = await synaptic.post("/v1/completions", { model: "m", prompt: "Hi" });
    expect(response.status).toBeGreaterThanOrEqual(500);
    const { error } = (await response.json()) as { error: { message: string; type: string } };
    expect(error.type).toBe("server_error");
    expect(error.message).toMatch(says);
    expect(error.message).toMatch(hint);
    synaptic.kill("SIGTERM");
    expect(await synaptic.exited).toBe(0);
  });

  test("makes plan fail with the sentence, and print no plan", async () => {
    const { code, stdout, stderr } = await lab.run(["plan", "m", "--port", "0"], { config, env: env() });
    expect(code).toBeGreaterThan(0);
    expect(stdout).toBe("");
    expect(stderr).toMatch(says);
    expect(stderr).toMatch(hint);
  });
});

const BROKEN = [
  { name: "truncated", why: "the file is truncated in its header" },
  { name: "short", why: "the file is truncated in its weights" },
  { name: "wrong", why: "the magic is another" },
  { name: "missing", why: "the file is missing" },
];

test.each(BROKEN)(
  "a request for a model whose GGUF is bad ($why) gets model_unreadable with the path",
  async (broken) => {
    const { name } = broken;
    const synaptic = await lab.serve({ config });
    const response = await synaptic.post("/v1/completions", { model: name, prompt: "Hi", stream: true });
    expect(response.status).toBe(500);
    expect(response.headers.get("x-should-retry")).toBe("false");
    const { error } = (await response.json()) as { error: { message: string; code: string } };
    expect(error.code).toBe("model_unreadable");
    expect(error.message).toContain(join(lab.folder, `${name}.gguf`));
    await synaptic.stop();
  },
);
