/** Why a llama-server ended, in one sentence: from its last lines, its exit code and how far it had come. Pure. */
import { SynapticError } from "./errors.ts";
import { FAILURES, tidyLine } from "./llama-failure-table.ts";
import type { Endpoint } from "./units.ts";

export interface Exit {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: string | null;
  /** Its last lines of output, oldest first. */
  readonly lastLines: readonly string[];
}

/** The cause of a failed coordinator. */
export interface Cause {
  readonly error: SynapticError;
  /** The backend to blame, where there is one. */
  readonly endpoint: Endpoint | null;
  /** Whether another plan and start at once may well succeed. */
  readonly again: boolean;
}

export interface ExitContext {
  readonly model: string;
  readonly when: "starting" | "ready";
  /** The backends of its plan: nobody else is ever blamed, whatever the output says. */
  readonly endpoints: readonly Endpoint[];
}

/** Explains the exit of a coordinator that ended by itself. */
export function explainExit(exit: Exit, { model, when, endpoints }: ExitContext): Cause {
  const found = findFailure(exit.lastLines);
  const what = found ? found.failure.say(found.match, found.line) : describeExit(exit);
  const action = when === "starting" ? `Cannot load ${model}` : `Lost the coordinator of ${model}`;
  const endpoint = endpointAtFault(exit.lastLines, endpoints);
  return {
    error: new SynapticError(found?.failure.code ?? "coordinator_failed", `${action}: ${what}`, {
      hint: found?.failure.hint ?? lastWords(exit.lastLines),
    }),
    endpoint,
    again: endpoint !== null || found?.failure.again === true,
  };
}

/** The first row of the table that any line matches: what is printed last is often only a consequence. */
function findFailure(lines: readonly string[]) {
  for (const failure of FAILURES) {
    for (const line of lines) {
      const match = failure.match.exec(line);
      if (match) return { failure, match, line };
    }
  }
  return null;
}

const AT_FAULT = /(?:Failed to connect to|RPC handshake failed for) (\S+:\d+)/;

function endpointAtFault(lines: readonly string[], endpoints: readonly Endpoint[]): Endpoint | null {
  const named = new Set(lines.map((line) => AT_FAULT.exec(line)?.[1]));
  return endpoints.find((endpoint) => named.has(endpoint)) ?? null;
}

/** SIGABRT and SIGKILL as exit codes: seen through a shell or a loader. */
const ABORTED = 134;
const KILLED = 137;

function describeExit({ code, signal }: Exit): string {
  if (signal === "SIGKILL" || code === KILLED) return "it was killed (SIGKILL), perhaps for want of memory";
  if (signal === "SIGABRT" || code === ABORTED) return "llama-server aborted";
  if (signal) return `a signal ended it (${signal})`;
  return `llama-server ended with exit code ${code}`;
}

function lastWords(lines: readonly string[]): string {
  const line = lines.findLast((text) => text.trim() !== "");
  return line ? `its last words: ${tidyLine(line)}` : "it printed nothing";
}
