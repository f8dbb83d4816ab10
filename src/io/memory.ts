/** The memory of this machine, as its kernel and the limits of its container have it. */
import { readFileSync } from "node:fs";
import { freemem, totalmem } from "node:os";
import { join } from "node:path";

export interface MachineMemory {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Deeper than control groups are nested anywhere. */
const MOST_LEVELS = 32;

/**
 * Bytes now: `MemAvailable` and the tightest control group limit on Linux, what the system calls free elsewhere. Never
 * throws: what cannot be read sets no limit. `root` is `/`, but in tests.
 */
export function readMemory(root = "/"): MachineMemory {
  const info = readText(join(root, "proc/meminfo"));
  const total = kibibytes(info, "MemTotal") ?? totalmem();
  const free = kibibytes(info, "MemAvailable") ?? freemem();
  const limits = groupsOf(readText(join(root, "proc/self/cgroup")), root);
  return {
    freeBytes: Math.max(0, Math.min(free, ...limits.map((limit) => limit.freeBytes))),
    totalBytes: Math.min(total, ...limits.map((limit) => limit.totalBytes)),
  };
}

function kibibytes(info: string, name: string): number | null {
  const match = new RegExp(`^${name}:\\s*(\\d{1,15}) kB$`, "m").exec(info);
  return match ? Number(match[1]) * 1024 : null;
}

/** Lines are `id:controllers:path`; version 2 has id 0 and no controllers. Within a container the path may be the host's,
 *  where nothing is to be found: then the root of the mount holds the container's own limit. */
function groupsOf(list: string, root: string): readonly MachineMemory[] {
  return list.split("\n").flatMap((line) => {
    const [id, controllers = "", path = "/"] = line.split(":");
    if (id === "0" && controllers === "") return levels(join(root, "sys/fs/cgroup"), path, readGroup2);
    if (!controllers.split(",").includes("memory")) return [];
    return levels(join(root, "sys/fs/cgroup/memory"), path, readGroup1);
  });
}

/** A group is bound by those above it, too. */
function levels(mount: string, path: string, read: (folder: string) => MachineMemory | null): readonly MachineMemory[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== "..");
  const folders = parts.slice(0, MOST_LEVELS).map((_, index) => join(mount, ...parts.slice(0, index + 1)));
  return [mount, ...folders].flatMap((folder) => read(folder) ?? []);
}

function readGroup2(folder: string): MachineMemory | null {
  return groupMemory({
    limit: readText(join(folder, "memory.max")),
    used: readText(join(folder, "memory.current")),
    reclaimable: /^inactive_file (\d{1,19})$/m.exec(readText(join(folder, "memory.stat")))?.[1],
  });
}

function readGroup1(folder: string): MachineMemory | null {
  return groupMemory({
    limit: readText(join(folder, "memory.limit_in_bytes")),
    used: readText(join(folder, "memory.usage_in_bytes")),
    reclaimable: /^total_inactive_file (\d{1,19})$/m.exec(readText(join(folder, "memory.stat")))?.[1],
  });
}

interface GroupTexts {
  readonly limit: string;
  readonly used: string;
  readonly reclaimable: string | undefined;
}

/** Null without a limit: `max`, or version 1's largest number. Cached pages of files count as used, and are given up. */
function groupMemory({ limit, used, reclaimable = "0" }: GroupTexts): MachineMemory | null {
  const totalBytes = /^\d{1,19}\s*$/.test(limit) ? Number(limit) : Number.NaN;
  if (!(totalBytes < 2 ** 60)) return null;
  const usedBytes = Math.max(0, (Number(used) || 0) - Number(reclaimable));
  return { freeBytes: Math.max(0, totalBytes - usedBytes), totalBytes };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
