/** HTTP to one Ollama node: asks what it is and has, and asks it to unload a model. Everything it answers is bounded. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { SynapticError, wrapError } from "../core/errors.ts";
import type { NodePoll } from "../core/node.ts";
import { hostOfNode } from "../core/node-url.ts";
import { type Read, readLoaded, readTags, readVersion, unloadRequest } from "../core/ollama-api.ts";
import { requestUpstream, type UpstreamRequest } from "./http-client.ts";

export interface AskOptions {
  /** For all of it. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** A thousand models take half a megabyte. */
const MAX_ANSWER_BYTES = 8 * 1024 ** 2;
/** Of an error's text. */
const MOST_SHOWN = 200;

/** An answer that is none of an Ollama's, or an error. */
class Odd extends Error {
  readonly tag: "alien" | "failing";
  constructor(tag: "alien" | "failing", detail: string) {
    super(detail);
    this.tag = tag;
  }
}

/** Asks for version, models and loaded models side by side. Never rejects. */
export async function pollNode(url: string, { timeoutMs, signal }: AskOptions): Promise<NodePoll> {
  const late = AbortSignal.timeout(timeoutMs);
  const either = AbortSignal.any([signal, late]);
  const startedAt = performance.now();
  const resolving = resolve(url, either);
  try {
    const version = await ask(url, { path: "/api/version", read: readVersion, signal: either });
    const rttMs = performance.now() - startedAt;
    const [models, loaded, { address }] = await Promise.all([
      ask(url, { path: "/api/tags", read: readTags, signal: either }),
      ask(url, { path: "/api/ps", read: readLoaded, signal: either }),
      resolving,
    ]);
    return { tag: "up", version, models, loaded, address, rttMs };
  } catch (error) {
    if (signal.aborted) return { tag: "cancelled" };
    if (late.aborted) return { tag: "timeout", timeoutMs };
    if (error instanceof Odd) return { tag: error.tag, detail: error.message };
    const { failure } = await resolving;
    return failure === null ? describe(error) : { tag: "unresolved", detail: failure };
  }
}

function describe(error: unknown): NodePoll {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  // Bun's own words, and those of node's sockets.
  if (code === "ConnectionRefused" || code === "ECONNREFUSED") return { tag: "refused" };
  return { tag: "unreachable", detail: error instanceof Error ? error.message : String(error) };
}

interface Resolved {
  readonly address: string | null;
  readonly failure: string | null;
}

/** IPv4 before IPv6, as backends have it, so that both are seen to share a machine. Never rejects. */
async function resolve(url: string, signal: AbortSignal): Promise<Resolved> {
  const host = hostOfNode(url);
  if (isIP(host) !== 0) return { address: host, failure: null };
  const { promise: aborted, resolve: giveUp } = Promise.withResolvers<Resolved>();
  const stop = () => giveUp({ address: null, failure: null });
  signal.addEventListener("abort", stop, { once: true });
  const found = lookup(host, { order: "ipv4first" }).then(
    ({ address }): Resolved => ({ address, failure: null }),
    (error: unknown): Resolved => ({
      address: null,
      failure: error instanceof Error && "code" in error ? String(error.code) : String(error),
    }),
  );
  return await Promise.race([found, aborted]).finally(() => signal.removeEventListener("abort", stop));
}

interface Question<T> {
  readonly path: string;
  readonly read: (json: unknown) => Read<T>;
  readonly signal: AbortSignal;
}

/** @throws Odd when the answer is of no use; else what fetch throws. */
async function ask<T>(url: string, { path, read, signal }: Question<T>): Promise<T> {
  const response = await requestUpstream(`${url}${path}`, { method: "GET", headers: {}, signal });
  const json = parse(await readAnswer(response, path), path);
  const result = read(json);
  if (result.ok) return result.value;
  throw new Odd("alien", `${path} ${result.reason}`);
}

/** The text of a 200. @throws Odd */
async function readAnswer(response: Response, path: string): Promise<string> {
  const { status } = response;
  const text = await readText(response, path);
  if (status === 200) return text;
  if (status >= 500) throw new Odd("failing", `${path} gives ${status}${said(text)}`);
  throw new Odd("alien", `${path} gives ${status}${said(text)}`);
}

/** The words of `{"error": "..."}`, without what would trouble a terminal. */
function said(text: string): string {
  const words = /^\s*\{\s*"error"\s*:\s*"((?:[^"\\]|\\.){1,500})/.exec(text)?.[1];
  return words === undefined ? "" : `: ${words.replace(/[^\x20-\x7e]/g, "?").slice(0, MOST_SHOWN)}`;
}

async function readText(response: Response, path: string): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    // Leaving the loop cancels the rest.
    if (bytes > MAX_ANSWER_BYTES) throw new Odd("alien", `${path} gives more than 8 MiB`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function parse(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Odd("alien", `${path} gives no JSON`);
  }
}

export interface UnloadOptions extends AskOptions {
  readonly model: string;
}

/** Asks a node to unload a model, which may take until the requests that it answers have ended.
 *  @throws SynapticError `upstream_timeout`, `upstream_error`; the signal's reason when it was aborted */
export async function unloadFromNode(url: string, { model, timeoutMs, signal }: UnloadOptions): Promise<void> {
  const late = AbortSignal.timeout(timeoutMs);
  const request: UpstreamRequest = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: unloadRequest(model),
    signal: AbortSignal.any([signal, late]),
  };
  const action = `Cannot unload ${model} from ${url}`;
  try {
    await readAnswer(await requestUpstream(`${url}/api/generate`, request), "/api/generate");
  } catch (error) {
    signal.throwIfAborted();
    if (late.aborted) {
      throw new SynapticError("upstream_timeout", `${action}: no answer within ${timeoutMs} ms`, { cause: error });
    }
    throw wrapError("upstream_error", action, error);
  }
}
