/** Describes a llama-server by asking it: version, local devices, RPC protocol. */
import { SynapticError } from "../core/errors.ts";
import { parseEngineVersion, parseLocalDevices } from "../core/llama-output.ts";
import type { EngineFacts } from "../core/snapshot.ts";
import { describeFailedRun, type EngineRun, type EngineRunOptions, startEngine } from "./engine-run.ts";
import { measureProtocol } from "./protocol-probe.ts";

export interface DescribeEngineOptions {
  readonly signal: AbortSignal;
  /** For each run of the engine. Drivers of several accelerators take seconds to start; 50 ms is usual on a CPU. */
  readonly deadlineMs?: number;
}

/**
 * Asks the llama-server at `path` what it is; takes four short runs of it, and loads no model.
 * @throws SynapticError `coordinator_failed` when it cannot run, is no llama-server or has no RPC; `coordinator_timeout`
 * when it hangs.
 */
export async function describeEngine(
  path: string,
  { signal, deadlineMs = 20_000 }: DescribeEngineOptions,
): Promise<EngineFacts> {
  // First alone: a program that cannot even do this fails with one error.
  const versionRun = await startEngine(path, ["--version"], { signal, deadlineMs }).finished;
  const version = parseEngineVersion(versionRun.output);
  if (!version) throw describeNoVersion(path, versionRun);
  const failed = new AbortController();
  const options = { deadlineMs, signal: AbortSignal.any([signal, failed.signal]) };
  try {
    const [localDevices, protocol] = await Promise.all([listDevices(path, options), measureProtocol(path, options)]);
    return { path, ...version, protocol, localDevices };
  } catch (error) {
    failed.abort(error);
    throw error;
  }
}

async function listDevices(path: string, options: EngineRunOptions): Promise<EngineFacts["localDevices"]> {
  const run = await startEngine(path, ["--list-devices"], options).finished;
  if (run.exitCode !== 0) throw describeFailedRun(path, run);
  return parseLocalDevices(run.output);
}

function describeNoVersion(path: string, run: EngineRun): SynapticError {
  if (run.exitCode !== 0) return describeFailedRun(path, run);
  const printed = run.output.trim().split("\n")[0]?.slice(0, 100) || "nothing";
  return new SynapticError(
    "coordinator_failed",
    `Cannot read the version of llama-server at ${path}: it printed ${printed}`,
    {
      hint: "is it llama.cpp's llama-server? `llama-server --version` prints `version: ...`",
    },
  );
}
