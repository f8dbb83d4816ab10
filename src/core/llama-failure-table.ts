/** What llama-server's last lines mean: pattern, sentence, what to do. Pure. Lines: 0.7.0, facts/llamacpp.md c and d. */
import { TESTED } from "./engine-versions.ts";
import type { ErrorCode } from "./errors.ts";
import { formatBytes } from "./units.ts";

export interface Failure {
  readonly match: RegExp;
  /** The part after "Cannot load MODEL: ". */
  readonly say: (match: RegExpExecArray, line: string) => string;
  readonly hint: string;
  readonly code?: ErrorCode;
  /** Another plan and start at once may well succeed. */
  readonly again?: boolean;
}

const SEE_BACKENDS = "see `synaptic backends`; the next request tries again with the backends that answer";
const LESS_MEMORY = "set synaptic.backends[].maxMemory for that backend, or a smaller synaptic.contextSize";
const OTHER_FILE = "use a GGUF made for llama.cpp: some of Ollama's own files load only there";

/** The most telling rows first: the first one that any line matches is taken. */
export const FAILURES: readonly Failure[] = [
  {
    match: /Cannot resolve host '([^']+)'/,
    say: (m) => `host ${m[1]} cannot be resolved`,
    hint: "correct rpc_backends in the config",
  },
  {
    match: /Failed to connect to (\S+:\d+)/,
    say: (m) => `backend ${m[1]} refused the connection`,
    hint: SEE_BACKENDS,
  },
  {
    match: /RPC handshake failed for (\S+:\d+)/,
    say: (m) => `the RPC handshake with ${m[1]} failed (another protocol version?)`,
    hint: "install the same llama.cpp release on every machine",
  },
  {
    match: /Remote RPC server crashed or returned malformed response|send failed \(bytes_sent/,
    say: () => "a backend went away while it was in use",
    hint: SEE_BACKENDS,
    again: true,
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
    hint: OTHER_FILE,
    code: "model_unreadable",
  },
  {
    match: /key not found in model: (\S+)/,
    say: (m) => `the model file lacks ${m[1]}`,
    hint: OTHER_FILE,
    code: "model_unreadable",
  },
  {
    match: /tensor '([^']+)' not found/,
    say: (m) => `the model file lacks the tensor ${m[1]}`,
    hint: OTHER_FILE,
    code: "model_unreadable",
  },
  {
    match: /tensor '([^']+)' data is not within the file bounds/,
    say: (m) => `the model file is truncated at tensor ${m[1]}`,
    hint: "download it again",
    code: "model_unreadable",
  },
  {
    match: /failed to open GGUF file '.+' \((.+)\)/,
    say: (m) => `the model file cannot be opened: ${m[1]}`,
    hint: "check that it is there and readable",
    code: "model_unreadable",
  },
  {
    match: /gguf_init_from_\w+: (.+)/,
    say: (m) => `the header of the model file is damaged: ${cut(m[1])}`,
    hint: "download it again",
    code: "model_unreadable",
  },
  {
    match: /failed to allocate RPC\d+\[(\S+:\d+)\] buffer of size (\d+)/,
    say: (m) => `backend ${m[1]} could not allocate ${formatBytes(Number(m[2]))}`,
    hint: LESS_MEMORY,
  },
  {
    match: /failed to allocate .*buffer|out of memory|cudaMalloc failed|alloc_tensor_range: failed/i,
    say: (_, line) => `a device ran out of memory (${tidyLine(line)})`,
    hint: LESS_MEMORY,
  },
  {
    match: /couldn't bind|failed to bind|bind HTTP server socket/i,
    say: () => "its port was taken by another program",
    hint: "the next request tries another port",
    again: true,
  },
  {
    match: /error: invalid argument: (\S+)/,
    say: (m) => `this llama-server does not know the flag ${m[1]}`,
    hint: `install llama.cpp ${TESTED.versions}, built with GGML_RPC=ON`,
  },
  {
    match: /error while handling argument "([^"]+)": (.+)/,
    say: (m) => `llama-server refuses the value of ${m[1]}: ${cut(m[2])}`,
    hint: `correct synaptic.models.settings[].args, or install llama.cpp ${TESTED.versions}`,
  },
  {
    match: /error while loading shared libraries: ([^:]+)/,
    say: (m) => `the library ${m[1]} is missing`,
    hint: "reinstall llama.cpp, or set synaptic.llamaServer to another build",
  },
  {
    match: /error loading model(?:[^:]*): (.+)/,
    say: (m) => `the model does not load: ${cut(m[1])}`,
    hint: "run the command that `synaptic plan` prints to see the whole output",
    code: "model_unreadable",
  },
];

const MAX_WORDS = 300;

function cut(text: string | undefined): string {
  return (text ?? "").trim().slice(0, MAX_WORDS);
}

/** Drops llama.cpp's `M.SS.mmm.uuu LEVEL` prefix and cuts what is too long to read. */
export function tidyLine(line: string): string {
  return cut(line.trim().replace(/^\d+\.\d+\.\d+\.\d+ [A-Z] /, ""));
}
