/** An Ollama as far as it is watched: version, models, loaded ones, and unloading. Each behaviour names the fact it copies. */
import { z } from "zod";
import { ollamaKey } from "../../src/core/ollama.ts";
import { listen } from "../../src/io/http-server.ts";
import { runErrand, type Store } from "./ollama-errands.ts";
import { type SpeechOptions, speak } from "./ollama-speech.ts";

export interface FakeModel {
  /** With its tag, as `/api/tags` shows it. */
  readonly name: string;
  readonly bytes: number;
  readonly digest?: string;
  readonly remoteHost?: string;
}

interface Loaded {
  readonly model: FakeModel;
  readonly vramBytes: number;
  /** Requests that it answers. */
  running: number;
  keepAliveMs: number;
  /** Null until its first request has ended. */
  expiresMs: number | null;
  expiring: boolean;
}

export interface FakeOllamaNode extends Store {
  /** Without a slash at its end. */
  readonly url: string;
  readonly port: number;
  /** Paths that were asked for. */
  readonly asked: readonly string[];
  load(name: string, options?: { readonly vramBytes?: number; readonly keepAliveMs?: number }): void;
  /** A request to a loaded model begins, and what it returns ends it. */
  request(name: string): () => void;
  loaded(): readonly string[];
  /** Parsed bodies of requests for answers, the first one first. */
  readonly bodies: unknown[];
  /** What else it was asked to do, with the parsed bodies. */
  readonly errands: (readonly [route: string, body: unknown])[];
  /** What it says to whatever it is asked. */
  pieces: readonly string[];
  /** How it says it. */
  manner: Pick<SpeechOptions, "before" | "withoutEnd">;
  /** Answers in place of what is copied here; null for none. */
  fault: ((path: string, request: Request) => Response | Promise<Response> | null) | null;
  stop(): Promise<void>;
}

const DEFAULT_KEEP_ALIVE_MS = 5 * 60_000;

const askedSchema = z.object({
  model: z.string(),
  prompt: z.string().optional(),
  messages: z.array(z.unknown()).optional(),
  stream: z.boolean().optional(),
  keep_alive: z.union([z.number(), z.string()]).optional(),
});

export function startOllamaNode(models: readonly FakeModel[] = []): FakeOllamaNode {
  const asked: string[] = [];
  const loaded = new Map<string, Loaded>();
  const listener = listen({ host: "127.0.0.1", port: 0, fetch: answer });

  async function answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    asked.push(pathname);
    const odd = await node.fault?.(pathname, request);
    if (odd) return odd;
    const route = `${request.method} ${pathname}`;
    // clients.md 3a: `{"version":"x.y.z"}`.
    if (route === "GET /api/version") return Response.json({ version: "0.33.0" });
    if (route === "GET /api/tags") return Response.json({ models: node.models.map(tagOf) });
    if (route === "GET /api/ps") return Response.json({ models: [...loaded.values()].map(psOf) });
    if (route === "POST /api/generate") return generate(await request.json(), "generate");
    if (route === "POST /api/chat") return generate(await request.json(), "chat");
    if (request.method !== "GET")
      node.errands.push([
        route,
        await request
          .clone()
          .json()
          .catch(() => null),
      ]);
    const done = await runErrand(route, request, node);
    if (done) return done;
    // clients.md 3a: `GET /` -> "Ollama is running".
    if (route === "GET /") return new Response("Ollama is running");
    return new Response("404 page not found", { status: 404 });
  }

  function generate(body: unknown, kind: "chat" | "generate"): Response {
    node.bodies.push(body);
    const parsed = askedSchema.safeParse(body);
    if (!parsed.success) return Response.json({ error: "missing request body" }, { status: 400 });
    const { model, prompt = "", messages = [], stream = true, keep_alive } = parsed.data;
    // clients.md 2: unknown model on /api is 404 `{"error":"model 'x' not found"}`.
    const found = node.models.find(({ name }) => ollamaKey(name) === ollamaKey(model));
    if (!found) {
      return Response.json({ error: `model '${model}' not found` }, { status: 404 });
    }
    // clients.md 3a: an empty prompt loads, and with `keep_alive: 0` it unloads, each with its `done_reason`.
    if (prompt !== "" || messages.length > 0)
      return speak({ model, kind, stream, pieces: node.pieces, ...node.manner });
    if (keep_alive !== 0) node.load(found.name);
    else expire(found.name);
    return Response.json({
      model,
      created_at: new Date().toISOString(),
      ...(kind === "chat" ? { message: { role: "assistant", content: "" } } : { response: "" }),
      done: true,
      done_reason: keep_alive === 0 ? "unload" : "load",
    });
  }

  /** Ollama's scheduler (server/sched.go, expireRunner): at once when nobody uses it, else when the last request ends. */
  function expire(name: string): void {
    const entry = loaded.get(name);
    if (!entry) return;
    entry.expiring = true;
    if (entry.running === 0) loaded.delete(name);
  }

  const node: FakeOllamaNode = {
    url: listener.url,
    port: Number(new URL(listener.url).port),
    asked,
    models: [...models],
    bodies: [],
    errands: [],
    pullLines: [{ status: "pulling manifest" }, { status: "pulling abc", digest: "abc", total: 100, completed: 50 }],
    pullBreaks: false,
    pieces: ["All", " is", " well", " ✓"],
    manner: {},
    fault: null,
    load(name, { vramBytes = 0, keepAliveMs = DEFAULT_KEEP_ALIVE_MS } = {}) {
      const model = node.models.find((each) => each.name === name);
      if (!model) throw new Error(`The node has no ${name}`);
      loaded.set(name, { model, vramBytes, running: 0, keepAliveMs, expiresMs: null, expiring: false });
      node.request(name)();
    },
    request(name) {
      const entry = loaded.get(name);
      if (!entry) throw new Error(`${name} is not loaded`);
      entry.running++;
      return () => {
        entry.running--;
        // Only the end of a request moves the expiry (server/sched.go, processCompleted).
        if (entry.running === 0) entry.expiresMs = Date.now() + entry.keepAliveMs;
        if (entry.running === 0 && entry.expiring) loaded.delete(name);
      };
    },
    loaded: () => [...loaded.keys()],
    stop: () => listener.stop(0),
  };
  return node;
}

/** clients.md 3a: `digest` has 64 hex digits and no prefix, `modified_at` is RFC 3339. */
function tagOf({ name, bytes, digest = "d".repeat(64), remoteHost }: FakeModel) {
  return {
    ...{ name, model: name, modified_at: "2026-11-20T10:00:00.123456789Z", size: bytes, digest },
    ...(remoteHost !== undefined && { remote_model: name, remote_host: remoteHost }),
    details: {
      ...{ parent_model: "", format: "gguf", family: "llama", families: ["llama"] },
      ...{ parameter_size: "8.0B", quantization_level: "Q4_K_M" },
    },
  };
}

/** clients.md 3a: size, size_vram, expires_at, context_length. While its first request runs, the expiry is counted from now
 *  (server/routes.go, PsHandler). */
function psOf({ model, vramBytes, expiresMs, keepAliveMs }: Loaded) {
  const { name, bytes, digest = "d".repeat(64) } = model;
  const expires = new Date(expiresMs ?? Date.now() + keepAliveMs).toISOString();
  return { name, model: name, size: bytes, size_vram: vramBytes, digest, expires_at: expires, context_length: 4096 };
}
