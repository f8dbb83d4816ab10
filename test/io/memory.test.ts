/** readMemory(): the kernel's figure and the limits of control groups, of both versions. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { freemem, tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { readMemory } from "../../src/io/memory.ts";

const roots: string[] = [];
afterAll(() => {
  for (const root of roots) rmSync(root, { recursive: true });
});

function rootWith(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), "memory-"));
  roots.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const MEMINFO = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    700 kB\n";

describe("readMemory()", () => {
  test("takes what the kernel calls available", () => {
    const root = rootWith({ "proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/\n" });
    expect(readMemory(root)).toEqual({ freeBytes: 700 * 1024, totalBytes: 1000 * 1024 });
  });

  test("is bound by its control group and those above, version 2, where file pages are free", () => {
    const root = rootWith({
      "proc/meminfo": MEMINFO,
      "proc/self/cgroup": "0::/a/b\n",
      "sys/fs/cgroup/a/memory.max": "500000\n",
      "sys/fs/cgroup/a/memory.current": "400000\n",
      "sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 100000\nactive_file 5\n",
      "sys/fs/cgroup/a/b/memory.max": "max\n",
      "sys/fs/cgroup/a/b/memory.current": "1\n",
    });
    expect(readMemory(root)).toEqual({ freeBytes: 200_000, totalBytes: 500_000 });
  });

  test("is bound by version 1, also where the path is the host's and only the mount's own root is there", () => {
    const root = rootWith({
      "proc/meminfo": MEMINFO,
      "proc/self/cgroup": "4:cpu,cpuacct:/x\n3:memory:/docker/0123\n0::/\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": "300000\n",
      "sys/fs/cgroup/memory/memory.usage_in_bytes": "350000\n",
      "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 60000\n",
    });
    expect(readMemory(root)).toEqual({ freeBytes: 10_000, totalBytes: 300_000 });
  });

  test("takes version 1's largest number, and anything unreadable, for no limit", () => {
    const root = rootWith({
      "proc/meminfo": MEMINFO,
      "proc/self/cgroup": "3:memory:/\n0::/../..\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
      "sys/fs/cgroup/memory.max": "a lot\n",
    });
    expect(readMemory(root).freeBytes).toBe(700 * 1024);
  });

  test("takes the system's own figures where there is no /proc", () => {
    const { freeBytes, totalBytes } = readMemory(rootWith({ "proc/none": "" }));
    expect(totalBytes).toBe(totalmem());
    expect(Math.abs(freeBytes - freemem())).toBeLessThan(totalBytes / 2);
  });

  test("of this machine are plausible", () => {
    const { freeBytes, totalBytes } = readMemory();
    expect(freeBytes).toBeGreaterThan(0);
    expect(totalBytes).toBeGreaterThanOrEqual(freeBytes);
  });
});
