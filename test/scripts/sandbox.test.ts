import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";

const SANDBOX = join(import.meta.dir, "..", "..", "scripts", "sandbox.ts");
const DEADLINE_MS = 20_000;

interface Player {
  readonly pid: number;
  readonly folder: string;
  /** Settles when the child's connection to us is closed: by its end, since it never closes it itself. */
  readonly childEnded: Promise<void>;
  readonly exited: Promise<number>;
}

/** A program with a sandbox and one child in it, which connects to the test and then hangs; it hears no SIGTERM. */
async function play(name: string): Promise<Player> {
  const connected = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: () => connected.resolve(), data() {}, close: () => ended.resolve(), error: () => ended.resolve() },
  });
  const child = `await Bun.connect({ hostname: "127.0.0.1", port: ${listener.port}, socket: { data() {} } });`;
  const program = `
    import { openSandbox } from ${JSON.stringify(SANDBOX)};
    await using sandbox = openSandbox(${JSON.stringify(name)});
    sandbox.start([process.execPath, "-e", ${JSON.stringify(child)}]);
    console.log(sandbox.folder);
    await new Promise((resolve) => sandbox.stopping.addEventListener("abort", resolve));`;
  const player = Bun.spawn([process.execPath, "-e", program], {
    stdout: "pipe",
    stderr: "inherit",
    timeout: DEADLINE_MS,
  });
  const reader = player.stdout.getReader();
  const { value } = await reader.read();
  await connected.promise;
  void ended.promise.then(() => listener.stop(true));
  const folder = new TextDecoder().decode(value).trim();
  return { pid: player.pid, folder, childEnded: ended.promise, exited: player.exited };
}

test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("openSandbox() leaves nothing behind after %s", async (signal) => {
  const { pid, folder, childEnded, exited } = await play("sandbox-test");
  expect(existsSync(folder)).toBe(true);
  process.kill(pid, signal);
  await childEnded;
  expect(await exited).toBe(0);
  expect(existsSync(folder)).toBe(false);
});

test("openSandbox() leaves no child behind after SIGKILL, and the next one removes the folder", async () => {
  const killed = await play("sandbox-kill");
  process.kill(killed.pid, "SIGKILL");
  await killed.childEnded;
  await killed.exited;
  expect(existsSync(killed.folder)).toBe(true);
  const next = await play("sandbox-kill");
  expect(existsSync(killed.folder)).toBe(false);
  process.kill(next.pid, "SIGTERM");
  await next.exited;
});
