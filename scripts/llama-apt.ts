/** Downloads llama.cpp's packages through a private apt folder: no root, and nothing of the system is touched. */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { SynapticError } from "../src/core/errors.ts";
import { type RunResult, run } from "./run.ts";

/** `llama-server`, `llama-fit-params`; the RPC server; the backend that both need to speak RPC. */
const PACKAGES = ["llama.cpp-tools", "llama.cpp-tools-extra", "libggml0-backend-rpc"];
/** Debian's epoch 1 came with llama.cpp's release numbers: builds before it (5882+dfsg) compare as older. */
const OLDEST_PACKAGE = "1:0.7.0";
/** Debian's suites that have it. Its own suite is put before these when the system's lists say that it has it, too. */
const DEBIAN_SUITES = ["forky", "sid"];
const UPDATE_DEADLINE_MS = 3 * 60_000;
const DOWNLOAD_DEADLINE_MS = 20 * 60_000;

export interface Distribution {
  readonly kind: "debian" | "ubuntu";
  readonly codename: string;
}

export interface Download {
  /** Folder that holds the .deb files. */
  readonly folder: string;
  readonly packageVersion: string;
  readonly suite: string;
}

export interface DownloadOptions {
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** Reads /etc/os-release; null where llama.cpp's packages cannot come from Debian or Ubuntu. */
export function readDistribution(osRelease: string): Distribution | null {
  const fields = new Map<string, string>();
  for (const line of osRelease.split("\n")) {
    const [, name, value] = /^([A-Z_]+)="?([^"]*)"?\s*$/.exec(line) ?? [];
    if (name && value) fields.set(name, value);
  }
  const ids = [fields.get("ID"), ...(fields.get("ID_LIKE") ?? "").split(" ")];
  const ubuntu = fields.get("UBUNTU_CODENAME") ?? (ids[0] === "ubuntu" ? fields.get("VERSION_CODENAME") : undefined);
  if (ids.includes("ubuntu") && ubuntu) return { kind: "ubuntu", codename: ubuntu };
  const debian = fields.get("DEBIAN_CODENAME") ?? fields.get("VERSION_CODENAME");
  return ids.includes("debian") && debian ? { kind: "debian", codename: debian } : null;
}

/**
 * Downloads llama.cpp and all it needs, C library included, into `folder`.
 * @throws SynapticError `coordinator_failed` when no suite within reach has it, with what stood in the way of each.
 */
export async function downloadPackages(
  folder: string,
  distribution: Distribution,
  options: DownloadOptions,
): Promise<Download> {
  const apt = await openPrivateApt(folder, options.signal);
  const mirrors = await systemMirrors(apt, distribution);
  const suites = await suitesFor(distribution);
  const failures: string[] = [];
  for (const suite of suites) {
    for (const mirror of mirrors) {
      options.log(`reading the package lists of ${distribution.kind} ${suite}`);
      const tried = await findCandidate(apt, { mirror, suite, distribution });
      if (typeof tried === "string") {
        failures.push(`${suite}: ${tried}`);
        continue;
      }
      await fetchPackages(apt, tried.version, options);
      return { folder: join(folder, "cache", "archives"), packageVersion: tried.version, suite };
    }
  }
  const detail = failures.length > 0 ? failures.join("; ") : `apt has no source for ${distribution.codename}`;
  throw new SynapticError(
    "coordinator_failed",
    `Cannot get llama.cpp from ${distribution.kind}'s packages: ${detail}`,
    {
      hint: failures.some((failure) => failure.includes("key"))
        ? "upgrade the package debian-archive-keyring, or install a llama.cpp with RPC yourself and set LLAMA_SERVER_PATH"
        : "check that `apt-get update` works on this machine, or install a llama.cpp with RPC yourself and set LLAMA_SERVER_PATH",
    },
  );
}

interface PrivateApt {
  readonly folder: string;
  readonly architecture: string;
  run(tool: "apt-get" | "apt-cache", args: readonly string[], more?: ForwardedOptions): Promise<RunResult>;
}

interface ForwardedOptions {
  readonly deadlineMs?: number;
  readonly onLine?: (line: string) => void;
  /** Use the system's own sources instead of the private one. */
  readonly systemSources?: boolean;
}

async function openPrivateApt(folder: string, signal: AbortSignal | undefined): Promise<PrivateApt> {
  for (const sub of ["state/lists/partial", "cache/archives/partial", "trusted"]) {
    mkdirSync(join(folder, sub), { recursive: true });
  }
  // An empty status file: nothing counts as installed, so the C library comes along.
  writeFileSync(join(folder, "status"), "");
  linkKeyrings(join(folder, "trusted"));
  const architecture = (await run(["dpkg", "--print-architecture"], { deadlineMs: 10_000 })).output.trim();
  const settings = {
    "Dir::State": join(folder, "state"),
    "Dir::State::status": join(folder, "status"),
    "Dir::Cache": join(folder, "cache"),
    "APT::Architectures": architecture,
    "APT::Sandbox::User": "",
    "APT::Install-Recommends": "false",
    "Acquire::Languages": "none",
    "Acquire::Retries": "2",
    "Acquire::http::Timeout": "30",
    "Debug::NoLocking": "1",
  };
  const ownSources = {
    "Dir::Etc::sourcelist": join(folder, "sources.list"),
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::Etc::trusted": join(folder, "none"),
    "Dir::Etc::trustedparts": join(folder, "trusted"),
    "Dir::Etc::preferences": join(folder, "none"),
    "Dir::Etc::preferencesparts": "/dev/null",
  };
  const flags = (more: object): string[] => Object.entries(more).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  return {
    folder,
    architecture,
    run: (tool, args, { deadlineMs = 60_000, onLine, systemSources = false } = {}) =>
      run([tool, ...flags(settings), ...(systemSources ? [] : flags(ownSources)), ...args], {
        deadlineMs,
        env: { ...process.env, LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" },
        ...(onLine ? { onLine } : {}),
        ...(signal ? { signal } : {}),
      }),
  };
}

/** Older Debians keep their keys in trusted.gpg.d, newer ones only in the keyring that sources are `Signed-By`. */
function linkKeyrings(into: string): void {
  const parts = "/etc/apt/trusted.gpg.d";
  const names = existsSync(parts) ? readdirSync(parts).map((name) => join(parts, name)) : [];
  const archives = ["debian", "ubuntu"].flatMap((kind) =>
    ["gpg", "pgp"].map((type) => `/usr/share/keyrings/${kind}-archive-keyring.${type}`),
  );
  for (const path of [...names, ...archives].filter(existsSync)) {
    // apt takes .gpg and .asc only.
    symlinkSync(path, join(into, basename(path).replace(/\.pgp$/, "-pgp.gpg")));
  }
}

/** Where the system itself gets its packages, by its own apt: no address is written down here, and no list need be there. */
async function systemMirrors(apt: PrivateApt, { codename }: Distribution): Promise<readonly string[]> {
  const { output } = await apt.run("apt-get", ["update", "--print-uris"], { systemSources: true });
  const sources = [...output.matchAll(/^'(\S+?)\/dists\/(\S+?)\/InRelease'/gm)].map(([, uri = "", suite = ""]) => ({
    uri,
    suite,
  }));
  const suites = new Set([codename, "stable", "oldstable", "testing", "unstable", "sid"]);
  const uris = new Set(sources.filter(({ suite }) => suites.has(suite)).map(({ uri }) => uri));
  const hasUpdates = (uri: string): number =>
    sources.some((s) => s.uri === uri && s.suite === `${codename}-updates`) ? 0 : 1;
  // Other vendors use the codename as well; only the distribution's own mirror has a suite of updates beside it.
  return [...uris].sort((a, b) => hasUpdates(a) - hasUpdates(b)).slice(0, 3);
}

async function suitesFor({ kind, codename }: Distribution): Promise<readonly string[]> {
  if (kind === "ubuntu") return [codename];
  const policy = await run(["apt-cache", "policy", "llama.cpp-tools"], { deadlineMs: 30_000 });
  const version = candidateOf(policy.output);
  const own = version !== null && (await isNewEnough(version)) ? [codename] : [];
  return [...new Set([...own, ...DEBIAN_SUITES])];
}

interface Source {
  readonly mirror: string;
  readonly suite: string;
  readonly distribution: Distribution;
}

/** The version on offer, or why there is none. */
async function findCandidate(apt: PrivateApt, source: Source): Promise<{ readonly version: string } | string> {
  const components = source.distribution.kind === "ubuntu" ? "main universe" : "main";
  const line = `deb [arch=${apt.architecture} target=Packages] ${source.mirror} ${source.suite} ${components}\n`;
  writeFileSync(join(apt.folder, "sources.list"), line);
  const update = await apt.run("apt-get", ["update"], { deadlineMs: UPDATE_DEADLINE_MS });
  if (update.timedOut) return `its lists did not come within ${UPDATE_DEADLINE_MS / 60_000} minutes`;
  if (/NO_PUBKEY|Missing key|not signed/.test(update.output)) return "this system lacks the key that signs it";
  const version = candidateOf((await apt.run("apt-cache", ["policy", "llama.cpp-tools"])).output);
  if (version === null) return firstComplaint(update.output) ?? "no package llama.cpp-tools";
  return (await isNewEnough(version)) ? { version } : `llama.cpp-tools ${version} is older than ${OLDEST_PACKAGE}`;
}

async function fetchPackages(apt: PrivateApt, version: string, { log }: DownloadOptions): Promise<void> {
  const result = await apt.run("apt-get", ["-y", "--download-only", "install", ...PACKAGES], {
    deadlineMs: DOWNLOAD_DEADLINE_MS,
    onLine: (line) => {
      const size = /^Need to get (.+) of archives/.exec(line)?.[1];
      if (size) log(`downloading llama.cpp ${version} and what it needs: ${size}`);
    },
  });
  if (result.exitCode === 0) return;
  const detail = result.timedOut
    ? "it took too long"
    : (firstComplaint(result.output) ?? `apt-get exited ${result.exitCode}`);
  throw new SynapticError("coordinator_failed", `Cannot download llama.cpp ${version}: ${detail}`, {
    hint: "run it again; what was downloaded is thrown away",
  });
}

function candidateOf(policy: string): string | null {
  const version = /^\s*Candidate: (\S+)/m.exec(policy)?.[1];
  return version && version !== "(none)" ? version : null;
}

async function isNewEnough(version: string): Promise<boolean> {
  const compared = await run(["dpkg", "--compare-versions", version, "ge", OLDEST_PACKAGE], { deadlineMs: 10_000 });
  return compared.exitCode === 0;
}

/** What apt complains of first, the reason rather than the address: `Err:1 http://...` alone says neither. */
export function firstComplaint(output: string): string | null {
  const failed = /^[EW]: Failed to fetch \S+\s+(.+)$/m.exec(output)?.[1];
  return (
    (failed ?? /^[EW]: (.+)$/m.exec(output)?.[1] ?? /^Err[: ]\S*\s*(.+)$/m.exec(output)?.[1])?.slice(0, 200) ?? null
  );
}

/** Reads the system's own /etc/os-release; null where there is none or no apt. */
export function thisDistribution(): Distribution | null {
  const hasTools = ["apt-get", "apt-cache", "dpkg", "dpkg-deb"].every((tool) => Bun.which(tool) !== null);
  return hasTools && existsSync("/etc/os-release") ? readDistribution(readFileSync("/etc/os-release", "utf8")) : null;
}
