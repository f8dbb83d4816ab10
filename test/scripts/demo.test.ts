import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { findDemoProblems } from "../../scripts/demo-verdict.ts";
import { RECITATION } from "../../scripts/recitation.ts";
import { createWrapper } from "../../scripts/wrap.ts";
import type { BackendShare } from "../../src/core/plan-types.ts";
import type { Proof } from "../../src/core/proof.ts";
import type { CoordinatorSnapshot } from "../../src/core/snapshot.ts";
import { formatEndpoint } from "../../src/core/units.ts";

const ROOT = join(import.meta.dir, "..", "..");
const DEADLINE_MS = 50_000;

const endpoints = [1, 2, 3].map((n) => formatEndpoint("127.0.0.1", 20_000 + n));

function share(index: number, layers: number): BackendShare {
  const endpoint = endpoints[index] ?? formatEndpoint("gone", 1);
  return { endpoint, layers, modelBytes: layers * 100, kvBytes: layers * 10, computeBytes: 5, devices: [] };
}

function coordinator(backends: readonly BackendShare[], more: Partial<Proof> = {}): CoordinatorSnapshot {
  const head = { modelBytes: 1, computeBytes: 1, devices: [] };
  const proof = { proven: true, problems: [], totalLayers: 25, offloadedLayers: 25, backends, head, ...more };
  return {
    model: "reciter",
    state: "ready",
    since: "",
    phase: null,
    drainingFor: null,
    pinned: false,
    keepUntil: null,
    pid: 1,
    progress: null,
    etaMs: null,
    slots: { total: 1, busy: 0 },
    queue: { length: 0, oldestMs: null },
    tokensPerSecond: null,
    restarts: 0,
    lastFailure: null,
    plan: null,
    proof,
  };
}

describe("findDemoProblems()", () => {
  const good = {
    coordinator: coordinator([share(0, 9), share(1, 8), share(2, 8)]),
    endpoints,
    text: "a b",
    expected: "a b",
  };

  test("finds nothing wrong when text and proof are whole", () => {
    expect(findDemoProblems(good)).toEqual([]);
  });

  test("names the first wrong word, a text that is cut and one that goes on", () => {
    expect(findDemoProblems({ ...good, text: "a c" })).toEqual([
      'the text is not the known one: word 2 is "c", should be "b"',
    ]);
    expect(findDemoProblems({ ...good, text: "a" })).toEqual([
      'the text is not the known one: word 2 is "", should be "b"',
    ]);
    expect(findDemoProblems({ ...good, text: "a b c" })).toEqual([
      "the text is not the known one: it goes on after its end",
    ]);
  });

  test("names a backend that holds nothing, also when all layers lie elsewhere", () => {
    const two = coordinator([share(0, 17), share(1, 8)]);
    expect(findDemoProblems({ ...good, coordinator: two })).toEqual([
      `backend ${endpoints[2]} holds no layers or no bytes`,
    ]);
    const none = coordinator([share(0, 17), share(1, 8), { ...share(2, 1), layers: 0 }]);
    expect(findDemoProblems({ ...good, coordinator: none })).toHaveLength(1);
    const weightless = coordinator([share(0, 9), share(1, 8), { ...share(2, 8), modelBytes: 0 }]);
    expect(findDemoProblems({ ...good, coordinator: weightless })).toHaveLength(1);
  });

  test("counts the layers, and repeats what the proof found", () => {
    const short = coordinator([share(0, 8), share(1, 8), share(2, 8)]);
    expect(findDemoProblems({ ...good, coordinator: short })).toEqual(["24 of 25 layers lie on the backends"]);
    const doubted = coordinator([share(0, 9), share(1, 8), share(2, 8)], { problems: ["KV is off"] });
    expect(findDemoProblems({ ...good, coordinator: doubted })).toEqual(["KV is off"]);
    expect(findDemoProblems({ ...good, coordinator: undefined })).toEqual([
      "synaptic has no proof of where the layers lie",
    ]);
  });
});

test("createWrapper() breaks lines at words and loses none", () => {
  const wrap = createWrapper("  ", 20);
  const written = RECITATION.split(/(?= )/).map(wrap).join("");
  expect(written.replaceAll(/\s+/g, " ").trim()).toBe(RECITATION);
  expect(written.split("\n").every((line) => line.startsWith("  ") && line.length <= 20)).toBe(true);
});

describe("npm run demo", () => {
  const started: Bun.Subprocess[] = [];
  afterEach(() => {
    for (const child of started.splice(0)) child.kill("SIGKILL");
  });

  function start(args: readonly string[]) {
    const command = [process.execPath, join("scripts", "demo.ts"), ...args];
    const child = Bun.spawn(command, {
      cwd: ROOT,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: DEADLINE_MS,
    });
    started.push(child);
    return child;
  }

  test(
    "-- --once recites the exact text, proves it on three backends, and ends",
    async () => {
      const child = start(["--once"]);
      const [output, errors, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
      expect(errors).toBe("");
      expect(code).toBe(0);
      expect(output.replaceAll(/\s+/g, " ")).toContain(RECITATION);
      const rows = [...output.matchAll(/^ {2}127\.0\.0\.1:\d+ +(\d+) \/ (\d+) /gm)];
      expect(rows).toHaveLength(3);
      expect(rows.every(([, planned, seen]) => Number(planned) > 0 && planned === seen)).toBe(true);
      expect(output).toContain("PROVEN     25 of 25 layers computed on 3 backends");
      expect(output).not.toContain("\u001b");
    },
    DEADLINE_MS,
  );

  test(
    "goes on serving what its curl line asks for, until Ctrl-C",
    async () => {
      const child = start([]);
      let output = "";
      let answered = "";
      const decoder = new TextDecoder();
      for await (const bytes of child.stdout) {
        output += decoder.decode(bytes, { stream: true });
        const line = /curl -N (\S+) -H '([\w-]+): (\S+)' -d '(.+)'\n/.exec(output);
        if (!line || answered) continue;
        const [, url = "", header = "", value = "", body = ""] = line;
        const answer = await fetch(url, { method: "POST", headers: { [header]: value }, body });
        answered = await answer.text();
        child.kill("SIGINT");
      }
      expect(answered).toContain('"content":" proof."');
      expect(await child.exited).toBe(0);
    },
    DEADLINE_MS,
  );

  test(
    "refuses a flag that it does not know",
    async () => {
      const child = start(["--twice"]);
      expect(await child.stderr.text()).toContain("Cannot use --twice");
      expect(await child.exited).toBe(2);
    },
    DEADLINE_MS,
  );
});
