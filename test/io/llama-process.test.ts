/** Children as the supervisor sees them: lines, ends, and how they are asked to end. Real processes. */
import { afterEach, describe, expect, test } from "bun:test";
import { createLlamaPort } from "../../src/io/llama-process.ts";

interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

const port = createLlamaPort([], process.env);
const started: number[] = [];

afterEach(() => {
  for (const pid of started.splice(0)) {
    try {
      // The group: what a child started itself may have outlived it.
      process.kill(-pid, "SIGKILL");
    } catch {
      // All of it has ended.
    }
  }
});

/** Runs a shell script as if it were llama-server. */
function run(script: string, onLine: (line: string) => void = () => {}) {
  const lines: string[] = [];
  const ended = Promise.withResolvers<Exit>();
  const child = port.spawn({
    path: "/bin/sh",
    args: ["-c", script],
    env: { PATH: process.env.PATH ?? "" },
    onLine: (line) => {
      lines.push(line);
      onLine(line);
    },
    onExit: ended.resolve,
  });
  started.push(child.pid);
  return { child, lines, ended: ended.promise };
}

describe("spawn()", () => {
  test("tells the lines of both streams, the last one without its end too, and then the exit code", async () => {
    const { lines, ended } = run("echo one; echo two >&2; printf three; exit 3");
    expect(await ended).toEqual({ code: 3, signal: null });
    expect(lines.toSorted()).toEqual(["one", "three", "two"]);
  });

  test("cuts a line that never ends", async () => {
    const { lines, ended } = run("head -c 300000 /dev/zero | tr '\\0' x; echo; echo next");
    await ended;
    expect(lines.map(({ length }) => length)).toEqual([64 * 1024, 4]);
  });

  test("tells the end although a grandchild keeps the pipes open", async () => {
    const { lines, ended } = run("sleep 60 & echo started; exit 134");
    expect(await ended).toEqual({ code: 134, signal: null });
    expect(lines).toEqual(["started"]);
  });

  test("names the signal that ended the child", async () => {
    const { child, ended } = run("echo up; exec sleep 60", () => child.kill("SIGKILL"));
    expect(await ended).toEqual({ code: null, signal: "SIGKILL" });
  });

  test("asks with SIGTERM and on stdin, since llama-server in child mode waits for its stdin even then", async () => {
    const { child, lines, ended } = run("trap '' TERM; echo up; read word; echo $word; exit 0", (line) => {
      if (line === "up") child.kill("SIGTERM");
    });
    expect(await ended).toEqual({ code: 0, signal: null });
    expect(lines).toEqual(["up", "cmd_router_to_child:exit"]);
  });

  test("makes the child the leader of its own process group, which Ctrl-C at our terminal does not reach", async () => {
    const { child, ended } = run("echo up; read word");
    // Signal 0 only asks whether such a group is there.
    expect(process.kill(-child.pid, 0)).toBe(true);
    child.kill("SIGTERM");
    await ended;
  });
});

test("freePort() gives a port that can be listened on", async () => {
  const free = await port.freePort();
  const listener = Bun.listen({ hostname: "127.0.0.1", port: free, socket: { data() {} } });
  expect(listener.port).toBe(free);
  listener.stop(true);
});
