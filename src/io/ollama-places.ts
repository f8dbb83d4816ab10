/** Where Ollama's stores may be on this machine, and what keeps this user from one. */
import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Defect } from "../core/loadable.ts";

export interface Machine {
  readonly platform: NodeJS.Platform;
  /** Absolute. */
  readonly home: string;
  /** Where the system's folders start; `/` but in tests. */
  readonly root: string;
}

/** Of Linux's service user, of packages (Debian, Arch, NixOS) and of the snap (facts/clients.md section 4). */
const SYSTEM_STORES = [
  "usr/share/ollama/.ollama/models",
  "var/lib/ollama/.ollama/models",
  "var/lib/ollama/models",
  "var/lib/ollama",
  "var/snap/ollama/common/models",
];
const UNITS = ["etc/systemd/system/ollama.service", "etc/systemd/system/ollama.service.d"];
const MAX_UNIT_BYTES = 64 * 1024;

export interface Stores {
  /** Folders with `manifests`; each once, however many links lead to it. */
  readonly roots: readonly string[];
  /** Stores that are there, or were named, and cannot be looked into. */
  readonly problems: readonly Defect[];
}

/** The store that was named, or else all that are found in the usual places. */
export async function findStores(named: string | null, machine: Machine): Promise<Stores> {
  const places = named === null ? await usualPlaces(machine) : [named];
  const roots = new Map<string, string>();
  const problems: Defect[] = [];
  for (const place of places) {
    const found = await lookAt(join(place, "manifests"));
    const real = await realpath(place).catch(() => place);
    if (found === "there") roots.set(real, roots.get(real) ?? place);
    else if (found === "denied") problems.push(await deniedStore(place));
    else if (named !== null) problems.push(noStore(place));
  }
  return { roots: [...roots.values()], problems };
}

/** On macOS and Windows the home alone; `USERPROFILE` is the home there. */
async function usualPlaces({ platform, home, root }: Machine): Promise<readonly string[]> {
  const own = join(home, ".ollama", "models");
  if (platform !== "linux") return [own];
  const moved = await Promise.all(UNITS.map((unit) => fromUnit(join(root, unit))));
  return [...new Set([own, ...moved.flat(), ...SYSTEM_STORES.map((store) => join(root, store))])];
}

/** `Environment="OLLAMA_MODELS=/data"` in a systemd unit or its drop-ins, where an owner moves the store to. */
async function fromUnit(path: string): Promise<readonly string[]> {
  const names = await readdir(path).catch(() => null);
  const files =
    names === null ? [path] : names.filter((name) => name.endsWith(".conf")).map((name) => join(path, name));
  const texts = await Promise.all(files.slice(0, 50).map(readSmall));
  return texts.flatMap((text) =>
    [...text.matchAll(/^\s*Environment=.*?\bOLLAMA_MODELS=([^"'\n]+)/gm)].map(([, value = ""]) => value.trim()),
  );
}

async function readSmall(path: string): Promise<string> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() && found.size <= MAX_UNIT_BYTES ? await readFile(path, "utf8").catch(() => "") : "";
}

async function lookAt(path: string): Promise<"there" | "denied" | "absent"> {
  try {
    return (await stat(path)).isDirectory() ? "there" : "absent";
  } catch (error) {
    return isDenied(error) ? "denied" : "absent";
  }
}

/** Whether a system call failed for want of a permission. */
export function isDenied(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "EACCES" || error.code === "EPERM");
}

function noStore(place: string): Defect {
  return {
    reason: `Cannot read the Ollama store ${place}: it has no folder manifests`,
    hint: "correct OLLAMA_MODELS or synaptic.ollama.modelsDir: it names the folder with blobs and manifests",
  };
}

async function deniedStore(place: string): Promise<Defect> {
  const { reason, hint } = await denied(join(place, "manifests"));
  return { reason: `Cannot read the Ollama store ${place}: ${reason}`, hint };
}

/** Which folder keeps this user from a path, and what opens it. */
export async function denied(path: string): Promise<Defect> {
  const barrier = await barrierTo(path);
  const found = await stat(barrier).catch(() => null);
  const group = await groupName(found?.gid ?? -1);
  const member = `\`sudo usermod -aG ${group} $USER\`, then log in again`;
  const [bits, letters] = found?.isFile() ? [0o040, "r"] : [0o050, "rx"];
  const groupMay = ((found?.mode ?? 0) & bits) === bits;
  return {
    reason: `this user may not read ${barrier}`,
    hint: groupMay ? member : `its group may not either: \`sudo chmod g+${letters} ${barrier}\` and ${member}`,
  };
}

/** The first of the folders to a path that lets nobody of ours through; the path itself when all do. */
async function barrierTo(path: string): Promise<string> {
  const ancestors: string[] = [];
  for (let at = path; at !== dirname(at); at = dirname(at)) ancestors.unshift(at);
  for (const at of ancestors) {
    const failed = await stat(at).then(
      () => false,
      (error: unknown) => isDenied(error),
    );
    if (failed) return dirname(at);
  }
  return path;
}

async function groupName(gid: number): Promise<string> {
  const groups = await readSmall("/etc/group");
  const line = groups.split("\n").find((each) => each.split(":")[2] === String(gid));
  const name = line?.split(":")[0];
  // Root's and nobody's group is not one to join: then it is the installer's.
  return name && !/^(?:root|wheel|nogroup|nobody)$/.test(name) ? name : "ollama";
}
