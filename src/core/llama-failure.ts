/** Why a llama-server ended, in one sentence: from its last lines, its exit code and how far it had come. Pure. */
import { type ErrorCode, SynapticError } from "./errors.ts";
import type { Endpoint } from "./units.ts";

export interface Exit {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: string | null;
  /** Its last lines of output, oldest first. */
  readonly lastLines: readonly string[];
}

/** The cause of a failed coordinator, and the backend to blame where there is one. */
export interface Cause {
  readonly error: SynapticError;
  readonly endpoint: Endpoint | null;
}

interface Pattern {
  readonly match: RegExp;
  readonly say: (match: RegExpExecArray, line: string) => string;
  readonly hint: string;
  /** Group that names the endpoint at fault. */
  readonly endpointGroup?: number;
  readonly code?: ErrorCode;
}

const SEE_BACKENDS = "see `synaptic backends`; the next request tries again with the backends that answer";

const PATTERNS: readonly Pattern[] = [
  {
    match: /Failed to connect to (\S+:\d+)/,
    say: (m) => `backend ${m[1]} refused the connection`,
    hint: SEE_BACKENDS,
    endpointGroup: 1,
  },
  {
    match: /RPC handshake failed for (\S+:\d+)/,
    say: (m) => `the RPC handshake with ${m[1]} failed (another protocol version?)`,
    hint: "install the same llama.cpp release on every machine",
    endpointGroup: 1,
  },
  {
    match: /Cannot resolve host '([^']+)'/,
    say: (m) => `host ${m[1]} cannot be resolved`,
    hint: "correct rpc_backends in the config",
  },
  {
    match: /Remote RPC server crashed or returned malformed response|send failed \(bytes_sent/,
    say: () => "a backend went away while the model was loaded",
    hint: SEE_BACKENDS,
  },
  {
    match: /unknown model architecture: '([^']+)'/,
    say: (m) => `this llama-server does not know the architecture ${m[1]}`,
    hint: "install a newer llama.cpp on every machine",
    code: "model_unreadable",
  },
  {
    match: /wrong number of tensors; expected (\d+), got (\d+)/,
    say: (m) => `the model file has ${m[1]} tensors where llama.cpp expects ${m[2]}`,
    hint: "use a GGUF made for llama.cpp: some of Ollama's own files load only there",
    code: "model_unreadable",
  },
  {
    match: /key not found in model: (\S+)/,
    say: (m) => `the model file lacks ${m[1]}`,
    hint: "use a GGUF made for llama.cpp: some of Ollama's own files load only there",
    code: "model_unreadable",
  },
  {
    match: /tensor '([^']+)' data is not within the file bounds/,
    say: (m) => `the model file is truncated at tensor ${m[1]}`,
    hint: "download it again",
    code: "model_unreadable",
  },
  {
    match: /failed to allocate .*buffer|out of memory|cudaMalloc failed|alloc_tensor_range: failed/i,
    say: (_, line) => `a device ran out of memory (${tidy(line)})`,
    hint: "set synaptic.backends[].maxMemory for that backend, or a smaller synaptic.contextSize",
  },
  {
    match: /couldn't bind|failed to bind|bind HTTP server socket/i,
    say: () => "its port was taken by another program",
    hint: "the next request tries another port",
  },
  {
    match: /error: invalid argument: (\S+)/,
    say: (m) => `this llama-server does not know the flag ${m[1]}`,
    hint: "install a llama.cpp release within the tested range (`synaptic --version`), built with GGML_RPC=ON",
  },
  {
    match: /error while loading shared libraries: ([^:]+)/,
    say: (m) => `the library ${m[1]} is missing`,
    hint: "reinstall llama.cpp, or set synaptic.llamaServer to another build",
  },
  {
    match: /error loading model(?:[^:]*): (.+)/,
    say: (m) => `the model does not load: ${m[1]}`,
    hint: "`synaptic logs` has the whole output",
    code: "model_unreadable",
  },
];

/** Exit codes of an abort: 134 is SIGABRT seen through a shell or a loader. */
const ABORTED = 134;

/** One sentence for a coordinator that ended by itself. */
export function explainExit(model: string, exit: Exit, when: "starting" | "ready"): Cause {
  const found = findPattern(exit.lastLines);
  const what = found ? found.pattern.say(found.match, found.line) : describeExit(exit);
  const action = when === "starting" ? `Cannot load ${model}` : `Lost the coordinator of ${model}`;
  return {
    error: new SynapticError(found?.pattern.code ?? "coordinator_failed", `${action}: ${what}`, {
      hint: found?.pattern.hint ?? lastWords(exit.lastLines),
    }),
    // The group of a pattern with endpointGroup is `host:port`.
    endpoint: (found?.pattern.endpointGroup ? (found.match[found.pattern.endpointGroup] as Endpoint) : null) ?? null,
  };
}

/** The first pattern of the table that any line matches: an abort prints its cause before its backtrace. */
function findPattern(lines: readonly string[]) {
  for (const pattern of PATTERNS) {
    for (const line of lines) {
      const match = pattern.match.exec(line);
      if (match) return { pattern, match, line };
    }
  }
  return null;
}

function describeExit({ code, signal }: Exit): string {
  if (signal === "SIGKILL" || code === 137) return "it was killed (SIGKILL), perhaps for want of memory";
  if (signal === "SIGABRT" || code === ABORTED) return "llama-server aborted";
  if (signal) return `a signal ended it (${signal})`;
  return `llama-server ended with exit code ${code}`;
}

function lastWords(lines: readonly string[]): string {
  const line = lines.findLast((text) => text.trim() !== "");
  return line ? `its last words: ${tidy(line)}` : "it printed nothing";
}

const MAX_WORDS = 300;

/** Drops llama.cpp's `M.SS.mmm.uuu LEVEL` prefix and cuts what is too long to read. */
function tidy(line: string): string {
  return line
    .replace(/^\d+\.\d+\.\d+\.\d+ [A-Z] /, "")
    .trim()
    .slice(0, MAX_WORDS);
}
