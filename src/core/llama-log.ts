/** One line of llama-server's output (`-lv 4`) to a LogEvent, or null. Pure. Formats: facts/llamacpp.md section a. */
import { z } from "zod";
import { type Endpoint, MIB } from "./units.ts";

/** Where a buffer lies. Buffer names count per endpoint (`RPC1[host:port]` is that server's second device), while device
 *  names count over all; only the endpoint in brackets can be trusted. */
export type Place =
  | { readonly tag: "rpc"; readonly endpoint: Endpoint; readonly device: number }
  /** `name` is the device's own, such as `CUDA0`, or `CPU`; a mapping of the file reports the whole range that it spans. */
  | { readonly tag: "local"; readonly name: string; readonly mapped: boolean };

/** `state` is what recurrent layers keep instead of a KV cache. */
export type BufferUse = "model" | "kv" | "state" | "compute";

export type LogEvent =
  | { readonly tag: "loading" }
  /** From here on a draft model is loaded, in the same words. */
  | { readonly tag: "draft" }
  | { readonly tag: "buffer"; readonly what: BufferUse; readonly place: Place; readonly bytes: number }
  | { readonly tag: "offloaded"; readonly layers: number; readonly totalLayers: number }
  | { readonly tag: "context" }
  | { readonly tag: "progress" /** 0..1 */; readonly progress: number };

const BUFFER = /(?:^|\s)(\S+)\s+(model|KV|RS|compute) buffer size\s*=\s*(\d+(?:\.\d+)?) MiB/;
const USES: Readonly<Record<string, BufferUse>> = { model: "model", KV: "kv", RS: "state", compute: "compute" };
const RPC_NAME = /^RPC(\d+)\[(.+:\d+)\]$/;
const MAPPED = /_Mapped$/;
const OFFLOADED = /offloaded (\d+)\/(\d+) layers to GPU/;

/** The longest line worth a look: at `-lv 4` a chat template is printed whole. */
const MAX_LINE = 2_000;

/** What one line tells of the load; null when it tells nothing. */
export function parseLogLine(line: string): LogEvent | null {
  if (line.length > MAX_LINE) return null;
  const buffer = BUFFER.exec(line);
  const what = USES[buffer?.[2] ?? ""];
  if (buffer?.[1] && buffer[3] && what) {
    return { tag: "buffer", what, place: parsePlace(buffer[1]), bytes: Math.round(Number(buffer[3]) * MIB) };
  }
  const offloaded = OFFLOADED.exec(line);
  if (offloaded) return { tag: "offloaded", layers: Number(offloaded[1]), totalLayers: Number(offloaded[2]) };
  if (line.includes("load_tensors: loading model tensors")) return { tag: "loading" };
  if (line.includes(": loading draft model")) return { tag: "draft" };
  if (line.includes("llama_context: constructing llama_context")) return { tag: "context" };
  if (line.startsWith(CHILD_STATE)) return parseProgress(line.slice(CHILD_STATE.length));
  return null;
}

const UNDRAFTED = /failed to initialize speculative decoding context(?:: (.+))?/;

/** Why a draft model goes unused: llama-server 0.7.0 serves without it and only says so in its log. Null on other lines. */
export function whyUndrafted(line: string): string | null {
  const found = line.length > MAX_LINE ? null : UNDRAFTED.exec(line);
  return found && (found[1] ?? "llama-server cannot use it");
}

/** What llama-server prints for its own router when `LLAMA_SERVER_ROUTER_PORT` is set: the only progress it reports
 *  (measured with 0.7.0; nothing of it appears in the log at any level). */
const CHILD_STATE = "cmd_child_to_router:state:";
const STATE = z.object({
  state: z.literal("loading"),
  payload: z.object({ stages: z.array(z.string()).min(1), current: z.string(), value: z.number().min(0).max(1) }),
});

function parseProgress(text: string): LogEvent | null {
  try {
    const { stages, current, value } = STATE.parse(JSON.parse(text)).payload;
    return { tag: "progress", progress: (Math.max(0, stages.indexOf(current)) + value) / stages.length };
  } catch {
    // Another state ("ready"), or a build that words it otherwise: progress is then unknown, and nothing depends on it.
    return null;
  }
}

function parsePlace(name: string): Place {
  const rpc = RPC_NAME.exec(name);
  // The pattern has just shown `host:port`.
  if (rpc?.[2]) return { tag: "rpc", endpoint: rpc[2] as Endpoint, device: Number(rpc[1]) };
  return { tag: "local", name: name.replace(MAPPED, ""), mapped: MAPPED.test(name) };
}
