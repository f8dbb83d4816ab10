/** State files: whole or not at all, shared, never in the way. */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createStateFiles } from "../../src/io/state-file.ts";
import { createRecordedLog, type RecordedLog } from "../fakes/log.ts";
import { asOrdinaryUser } from "../fakes/ordinary-user.ts";

const root = mkdtempSync(join(tmpdir(), "synaptic-state-"));
afterAll(() => {
  chmodSync(root, 0o755);
  rmSync(root, { recursive: true });
});

let home = "";
let log: RecordedLog;
let homes = 0;

beforeEach(() => {
  home = join(root, String(homes++));
  mkdirSync(home);
  log = createRecordedLog();
});

const files = (env: Readonly<Record<string, string>> = {}) => createStateFiles({ env, home, log });
const pathIn = (folder: string) => join(folder, "synaptic", "speeds.json");

function put(text: string): string {
  const path = pathIn(join(home, ".local", "state"));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

describe("a state file", () => {
  test("is null before the first write, and then what was written, for every other instance", async () => {
    expect(await files().read("speeds")).toBeNull();
    await files().write("speeds", { a: [1, "two"] });
    expect(await files().read("speeds")).toEqual({ a: [1, "two"] });
    expect(await files().read("loads")).toBeNull();
    expect(log.records).toEqual([]);
  });

  test("lies in the home's state folder, or in XDG_STATE_HOME when that is absolute, for its owner alone", async () => {
    await files().write("speeds", 1);
    expect(readFileSync(pathIn(join(home, ".local", "state")), "utf8")).toBe("1\n");
    expect(statSync(pathIn(join(home, ".local", "state"))).mode & 0o777).toBe(0o600);
    await files({ XDG_STATE_HOME: join(home, "xdg") }).write("speeds", 2);
    expect(readFileSync(pathIn(join(home, "xdg")), "utf8")).toBe("2\n");
    await files({ XDG_STATE_HOME: "relative" }).write("speeds", 3);
    expect(readFileSync(pathIn(join(home, ".local", "state")), "utf8")).toBe("3\n");
  });

  test("that is damaged counts as none, is told of once, and is written anew", async () => {
    const path = put('{"version": 1, "tim');
    const state = files();
    expect([await state.read("speeds"), await state.read("speeds")]).toEqual([null, null]);
    expect(log.lines()).toEqual([`warn ${path} is damaged: what it remembered is lost, and it is written anew`]);
    await state.write("speeds", 4);
    expect(await state.read("speeds")).toBe(4);
  });

  test("that is far too large counts as damaged", async () => {
    put(`"${"x".repeat(5 * 1024 ** 2)}"`);
    expect(await files().read("speeds")).toBeNull();
    expect(log.lines()).toHaveLength(1);
  });

  test("that cannot be written or read is a line for debugging, and nothing else", async () => {
    put("7");
    chmodSync(home, 0o500);
    chmodSync(pathIn(join(home, ".local", "state")), 0o000);
    await asOrdinaryUser(async () => {
      await files().write("speeds", 5);
      expect(await files().read("speeds")).toBeNull();
    });
    expect(log.lines()).toEqual([]);
    expect(log.records.map(({ message }) => message.split(" ").slice(0, 2).join(" "))).toEqual([
      "cannot write",
      "cannot read",
    ]);
  });

  test("is never seen half by readers, nor left in parts, while several write", async () => {
    const big = (text: string) => Array.from({ length: 2_000 }, () => text);
    await files().write("speeds", big("a"));
    const writes = ["b", "c", "d"].map((text) => files().write("speeds", big(text)));
    const reads = Array.from({ length: 20 }, () => files().read("speeds"));
    for (const value of await Promise.all(reads)) expect(value).toHaveLength(2_000);
    await Promise.all(writes);
    expect(readdirSync(dirname(pathIn(join(home, ".local", "state"))))).toEqual(["speeds.json"]);
    expect(existsSync(pathIn(join(home, ".local", "state")))).toBe(true);
  });
});
