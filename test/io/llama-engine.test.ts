import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TESTED } from "../../src/core/engine-versions.ts";
import { SynapticError } from "../../src/core/errors.ts";
import { describeEngine } from "../../src/io/llama-engine.ts";
import { findLlamaServer } from "../../src/io/llama-files.ts";

const never = new AbortController().signal;
const VERSION = 'echo "version: 0.7.0 (build 11669, commit fake)"';
let root = "";

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "synaptic-engine-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A program that answers --version well and does `otherwise` for all else. */
function fake(name: string, otherwise: string, version = VERSION): string {
  return script(name, `#!/bin/sh\nif [ "$1" = --version ]; then\n${version}\nexit 0\nfi\n${otherwise}\n`);
}

function script(name: string, text: string): string {
  const path = join(root, name);
  writeFileSync(path, text, { mode: 0o755 });
  return path;
}

/** An engine that speaks this protocol: it says HELLO as the real one does, and goes on only with what it accepts. */
function speaking(
  name: string,
  { major, minor, capsBytes = 24 }: { major: number; minor: number; capsBytes?: number },
): string {
  return script(
    name,
    `#!${process.execPath}
if (process.argv[2] === "--version") { console.error("version: 9999 (abcdef)"); process.exit(0); }
if (process.argv[2] !== "--rpc") { console.log("Available devices:\\n  Metal: Apple M2 (1000 MiB, 900 MiB free)"); process.exit(0); }
const [host, port] = process.argv[3].split(":");
let got = Buffer.alloc(0);
const hello = Buffer.alloc(9 + ${capsBytes});
hello[0] = 14; hello[1] = ${capsBytes};
Bun.connect({ hostname: host, port: Number(port), socket: {
  open(socket) { socket.write(hello); },
  data(socket, chunk) {
    got = Buffer.concat([got, chunk]);
    if (got.length < (${capsBytes} ? 36 : 11)) return;
    if (got[8] === ${major} && got[9] <= ${minor}) socket.write(Buffer.from([15, 0, 0, 0, 0, 0, 0, 0, 0]));
    else { console.error("RPC server version mismatch"); process.exit(134); }
  },
} });
`,
  );
}

async function failure(
  path: string,
  options: { deadlineMs?: number; signal?: AbortSignal } = {},
): Promise<SynapticError> {
  const thrown: unknown = await describeEngine(path, { signal: never, ...options }).then(
    () => null,
    (error: unknown) => error,
  );
  if (thrown instanceof SynapticError) return thrown;
  throw new Error(`no SynapticError but ${String(thrown)}`);
}

describe("describeEngine() with the real engine", () => {
  test("tells version, build and the RPC protocol it measured", async () => {
    const { path } = findLlamaServer({ env: process.env });
    const facts = await describeEngine(path, { signal: never });
    expect(facts.path).toBe(path);
    expect(facts.version).toMatch(/^(?:\d+\.\d+|b\d+)/);
    expect(facts.build).toBeGreaterThan(1000);
    expect<readonly (number | undefined)[]>(TESTED.rpcMajors).toContain(facts.protocol?.major);
  });

  test("leaves no process behind", async () => {
    const { path } = findLlamaServer({ env: process.env });
    await describeEngine(path, { signal: never });
    const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8")
      .trim()
      .split(/\s+/)
      .filter(Boolean);
    const engines = children.filter(
      (pid) => existsSync(`/proc/${pid}`) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("--list-devices"),
    );
    expect(engines).toEqual([]);
  });
});

describe("describeEngine() measures the RPC protocol", () => {
  test("of a newer minor", async () => {
    const facts = await describeEngine(speaking("minor", { major: 8, minor: 2 }), { signal: never });
    expect(facts.protocol).toEqual({ major: 8, minor: 2 });
  });

  test("of an older engine, and reads its devices", async () => {
    const facts = await describeEngine(speaking("older", { major: 7, minor: 0 }), { signal: never });
    expect(facts).toMatchObject({ version: "b9999", build: 9999, protocol: { major: 7, minor: 0 } });
    expect(facts.localDevices.map(({ name }) => name)).toEqual(["Metal"]);
  });

  test("of one from before capabilities came into HELLO", async () => {
    const facts = await describeEngine(speaking("old", { major: 5, minor: 1, capsBytes: 0 }), { signal: never });
    expect(facts.protocol).toEqual({ major: 5, minor: 1 });
  });

  test("and says null when it calls nobody", async () => {
    const facts = await describeEngine(fake("mute", 'echo "  (none)"'), { signal: never });
    expect(facts.protocol).toBeNull();
  });
});

describe("describeEngine() refuses", () => {
  test("an engine that was built without RPC", async () => {
    const path = fake(
      "no-rpc",
      'case "$*" in *--rpc*) echo "error: invalid argument: --rpc" >&2; exit 1;; esac\necho "  (none)"',
    );
    const error = await failure(path);
    expect(error.code).toBe("coordinator_failed");
    expect(error.message).toBe(`llama-server at ${path} was built without RPC`);
    expect(error.hint).toContain("GGML_RPC=ON");
  });

  test("one that is not there", async () => {
    const error = await failure(join(root, "gone"));
    expect(error.code).toBe("coordinator_failed");
    expect(error.message).toContain(`Cannot run llama-server at ${join(root, "gone")}`);
  });

  test("one that is not executable, and one for another processor", async () => {
    const plain = join(root, "plain");
    writeFileSync(plain, "text", { mode: 0o644 });
    expect((await failure(plain)).message).toContain("Cannot run llama-server");
    expect((await failure(script("alien", "\x7fELF\x02\x01\x01 for another processor"))).code).toBe(
      "coordinator_failed",
    );
  });

  test("one that lacks a library, by the library's name", async () => {
    const path = script(
      "library",
      '#!/bin/sh\necho "llama-server: error while loading shared libraries: libllama.so.0: cannot open shared object file: No such file or directory" >&2\nexit 127\n',
    );
    expect((await failure(path)).message).toBe(`llama-server at ${path} cannot start: libllama.so.0 is missing`);
  });

  test("one that crashes, with its last line", async () => {
    const error = await failure(fake("crash", "echo first; echo 'CUDA error: no driver' >&2; kill -ABRT $$"));
    expect(error.message).toContain("exit code 134, CUDA error: no driver");
  });

  test("one that prints something else as its version", async () => {
    const error = await failure(fake("garbage", "", 'echo "GNU bash 5.2"'));
    expect(error.message).toContain("it printed GNU bash 5.2");
  });

  test("one that floods its output, without keeping it", async () => {
    const error = await failure(fake("flood", "", "exec yes flooding"));
    expect(error.message).toContain("exit code 137");
    expect(error.message.length).toBeLessThan(500);
  });

  test("one that hangs, at the deadline, with all that it started", async () => {
    const pidFile = join(root, "pid");
    const path = fake("hang", "", `sh -c 'echo $$ > ${pidFile}; exec sleep 600' & wait`);
    const error = await failure(path, { deadlineMs: 300 });
    expect(error.code).toBe("coordinator_timeout");
    expect(error.message).toContain("hangs: no answer to --version in 300 ms");
    const stat = `/proc/${readFileSync(pidFile, "utf8").trim()}/stat`;
    // Ended, or ended and not yet reaped by a pid 1 that does not care. The kernel takes a moment after SIGKILL.
    const state = () => (existsSync(stat) ? readFileSync(stat, "utf8").split(" ")[2] : "Z");
    while (state() !== "Z") await Bun.sleep(5);
  });

  test("to go on when its caller is gone", async () => {
    const gone = new AbortController();
    const running = describeEngine(fake("abort", "", "exec sleep 600"), { signal: gone.signal });
    gone.abort(new Error("caller is gone"));
    await expect(running).rejects.toThrow("caller is gone");
  });
});

test("describeEngine() hides the user's LLAMA_ARG_ variables from the engine, which would call backends", async () => {
  process.env.LLAMA_ARG_RPC = "127.0.0.1:1";
  try {
    const { path } = findLlamaServer({ env: process.env });
    expect((await describeEngine(path, { signal: never })).protocol).not.toBeNull();
  } finally {
    delete process.env.LLAMA_ARG_RPC;
  }
});
