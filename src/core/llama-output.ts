/** What `llama-server --version` and `--list-devices` print, to version, build and local devices. Pure. */
import type { LocalDevice } from "./plan-types.ts";
import { MIB } from "./units.ts";

export interface EngineVersion {
  /** `0.7.0`; builds from before llama.cpp had release numbers are called by their build, `b6940`. */
  readonly version: string;
  readonly build: number | null;
}

const RELEASE_PATTERN = /^version:\s*(\d+(?:\.\d+)+\S*)(?:\s*\(build\s+(\d+))?/m;
const BUILD_PATTERN = /^version:\s*(\d+)\s*\(/m;

/** Reads `version: 0.7.0 (build 11669, commit Debian)` and the older `version: 6940 (c5023daf)`; null when it is neither. */
export function parseEngineVersion(output: string): EngineVersion | null {
  const release = RELEASE_PATTERN.exec(output);
  if (release?.[1]) return { version: release[1], build: release[2] ? Number(release[2]) : null };
  const build = BUILD_PATTERN.exec(output)?.[1];
  return build ? { version: `b${build}`, build: Number(build) } : null;
}

/** llama.cpp itself takes no more devices than this (`GGML_SCHED_MAX_BACKENDS` is 16). */
const MAX_DEVICES = 64;
const DEVICE_PATTERN = /^\s+([A-Za-z][\w-]*): (.*) \((\d+) MiB, (\d+) MiB free\)\s*$/;

/**
 * Reads lines such as `  CUDA0: NVIDIA GeForce RTX 3090 (24105 MiB, 23000 MiB free)`, sizes to bytes. RPC devices are
 * not local, and helpers without memory of their own (`BLAS: ... (0 MiB, 0 MiB free)`) take no layers: both are left out.
 */
export function parseLocalDevices(output: string): readonly LocalDevice[] {
  const devices: LocalDevice[] = [];
  for (const line of output.split("\n")) {
    const match = DEVICE_PATTERN.exec(line);
    const [, name, description, total, free] = match ?? [];
    if (name === undefined || description === undefined || /^RPC\d/.test(name) || Number(total) === 0) continue;
    devices.push({ name, description, freeBytes: Number(free) * MIB, totalBytes: Number(total) * MIB });
    if (devices.length === MAX_DEVICES) break;
  }
  return devices;
}

/** Why a start failed, in a phrase, from what the program printed; null when nothing in it is known. */
export function explainEngineOutput(output: string): "no_rpc" | { readonly missingLibrary: string } | null {
  if (/invalid argument: --rpc\b|failed to find RPC backend/.test(output)) return "no_rpc";
  const library =
    /error while loading shared libraries: ([^:\s]+)/.exec(output)?.[1] ??
    /Library not loaded: (\S+)/.exec(output)?.[1];
  return library ? { missingLibrary: library } : null;
}
