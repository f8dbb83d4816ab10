/** An Ollama: its models, what it has in memory, and what it answers. Each behaviour names the fact it copies. */
import { z } from "zod";
import { listen } from "../../src/io/http-server.ts";
import { answerTo, type Prompt, promptSchema } from "./ollama-mind.ts";
import { DEFAULT_CONTEXT, refuse, wordsOf } from "./ollama-refusals.ts";
import { can, createShelf, type FakeModel, notFound, type Shelf, tagOf } from "./ollama-shelf.ts";
import { type SpeechOptions, speak } from "./ollama-speech.ts";

export type { FakeModel } from "./ollama-shelf.ts";

interface Loaded {
  readonly model: FakeModel;
  readonly vramBytes: number;
  readonly contextSize: number;
  /** Requests that it answers. */
  running: number;
  keepAliveMs: number;
  /** Null until its first request has ended. */
  expiresMs: number | null;
  expiring: boolean;
}

export interface FakeOllamaNode extends Pick<Shelf, "models" | "pullLines" | "pullBreaks" | "errands"> {
  /** Without a slash at its end. */
  readonly url: string;
  readonly port: number;
  /** Paths that were asked for. */
  readonly asked: readonly string[];
  load(name: string, options?: LoadOptions): void;
  /** Models that it loaded for requests, and with what context, the first one first. */
  readonly loads: readonly { readonly name: string; readonly contextSize: number }[];
  /** A request to a loaded model begins, and what it returns ends it. */
  request(name: string): () => void;
  loaded(): readonly string[];
  /** Answers under way. */
  running(): number;
  /** Parsed bodies of requests for answers, the first one first. */
  readonly bodies: unknown[];
  /** What it says to whatever it is asked, unless the request wants something else (ollama-mind). */
  pieces: readonly string[];
  /** How it says it. */
  manner: Pick<SpeechOptions, "before" | "withoutEnd" | "failsWith">;
  /** Answers in place of what is copied here; null for none. */
  fault: ((path: string, request: Request) => Response | null | Promise<Response | null>) | null;
  stop(): Promise<void>;
}

interface LoadOptions {
  readonly vramBytes?: number;
  readonly keepAliveMs?: number;
  readonly contextSize?: number;
}

const DEFAULT_KEEP_ALIVE_MS = 5 * 60_000;
/** `/api/embed`, and the older `/api/embeddings` with one `prompt`. */
const embedSchema = z.looseObject({
  model: z.string(),
  input: z.union([z.string(), z.array(z.string())]).optional(),
  prompt: z.string().optional(),
  dimensions: z.int().min(1).optional(),
  truncate: z.boolean().optional(),
  options: z.looseObject({ num_ctx: z.number().optional() }).nullish(),
});

export function startOllamaNode(models: readonly FakeModel[] = []): FakeOllamaNode {
  const asked: string[] = [];
  const loaded = new Map<string, Loaded>();
  const loads: { name: string; contextSize: number }[] = [];
  const shelf = createShelf(models);
  const listener = listen({ host: "127.0.0.1", port: 0, fetch: answer });

  async function answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    asked.push(pathname);
    const odd = await node.fault?.(pathname, request);
    if (odd) return odd;
    // server/routes.go, GenerateRoutes: HEAD is answered where GET is at `/`, version and tags.
    const route = `${request.method === "HEAD" ? "GET" : request.method} ${pathname}`;
    // clients.md 3a: `{"version":"x.y.z"}`.
    if (route === "GET /api/version") return Response.json({ version: "0.33.0" });
    if (route === "GET /api/tags") return Response.json({ models: node.models.map(tagOf) });
    if (route === "GET /api/ps") return Response.json({ models: [...loaded.values()].map(psOf) });
    // clients.md 3a: `GET /` -> "Ollama is running".
    if (route === "GET /") return new Response("Ollama is running");
    const body: unknown = request.method === "GET" ? null : await request.json().catch(() => undefined);
    // server/routes.go: the first thing that each handler checks.
    if (body === undefined) return Response.json({ error: "missing request body" }, { status: 400 });
    if (route === "POST /api/generate") return generate(body, "generate");
    if (route === "POST /api/chat") return generate(body, "chat");
    if (route === "POST /api/embed" || route === "POST /api/embeddings") return embed(body, pathname);
    return shelf.answer(route, body) ?? new Response("404 page not found", { status: 404 });
  }

  function generate(body: unknown, kind: "chat" | "generate"): Response {
    node.bodies.push(body);
    const parsed = promptSchema.safeParse(body);
    // server/routes.go: what Go cannot read into its struct is 400 with its words.
    if (!parsed.success)
      return Response.json({ error: `json: cannot unmarshal: ${parsed.error.message}` }, { status: 400 });
    const prompt = parsed.data;
    const { model: name, stream = true } = prompt;
    const model = shelf.find(name);
    if (!model) return notFound(name);
    const refusal = refuse(model, prompt);
    if (refusal) return refusal;
    const empty = (prompt.prompt ?? "") === "" && (prompt.messages ?? []).length === 0;
    if (empty) return loadOnly(model, prompt, kind);
    const end = enter(model, prompt);
    const said = answerTo(prompt, node.pieces);
    return speak({ model: name, kind, stream, said, ...node.manner, onEnd: end });
  }

  /** clients.md 3a: an empty prompt loads, and with `keep_alive: 0` it unloads, each with its `done_reason`. */
  function loadOnly(model: FakeModel, prompt: Prompt, kind: "chat" | "generate"): Response {
    const unload = prompt.keep_alive === 0;
    if (unload) expire(model.name);
    else enter(model, prompt)();
    return Response.json({
      model: prompt.model,
      created_at: new Date().toISOString(),
      ...(kind === "chat" ? { message: { role: "assistant", content: "" } } : { response: "" }),
      done: true,
      done_reason: unload ? "unload" : "load",
    });
  }

  /** clients.md 3: another `num_ctx` loads it anew. */
  function enter(model: FakeModel, { options }: Pick<Prompt, "options">): () => void {
    const contextSize = options?.num_ctx ?? DEFAULT_CONTEXT;
    const there = loaded.get(model.name);
    if (there?.contextSize !== contextSize) {
      loads.push({ name: model.name, contextSize });
      node.load(model.name, { vramBytes: model.bytes, contextSize });
    }
    return node.request(model.name);
  }

  function embed(body: unknown, path: string): Response {
    shelf.errands.push([`POST ${path}`, body]);
    const parsed = embedSchema.safeParse(body);
    if (!parsed.success) return Response.json({ error: "invalid input type" }, { status: 400 });
    const { model: name, input, prompt = "", dimensions = 2, truncate = true, options } = parsed.data;
    const model = shelf.find(name);
    if (!model) return notFound(name);
    if (!can(model, "embedding")) {
      return Response.json({ error: `"${name}" does not support embeddings` }, { status: 400 });
    }
    // server/routes.go, EmbeddingsHandler: an empty one loads.
    if (input === undefined && prompt === "") return Response.json({ embedding: [] });
    const texts = input === undefined ? [prompt] : [input].flat();
    const longest = Math.max(0, ...texts.map(wordsOf));
    if (!truncate && longest > (options?.num_ctx ?? DEFAULT_CONTEXT)) {
      return Response.json({ error: "the input length exceeds the context length" }, { status: 400 });
    }
    enter(model, { options })();
    const vectors = texts.map((text) => vectorOf(text, dimensions));
    if (path === "/api/embeddings") return Response.json({ embedding: vectors[0] });
    return Response.json({
      ...{ model: name, embeddings: vectors, total_duration: 14_143_917, load_duration: 1_019_500 },
      prompt_eval_count: texts.reduce((sum, text) => sum + wordsOf(text), 0),
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
    get models() {
      return shelf.models;
    },
    set models(models) {
      shelf.models = models;
    },
    get pullLines() {
      return shelf.pullLines;
    },
    set pullLines(lines) {
      shelf.pullLines = lines;
    },
    get pullBreaks() {
      return shelf.pullBreaks;
    },
    set pullBreaks(breaks) {
      shelf.pullBreaks = breaks;
    },
    errands: shelf.errands,
    bodies: [],
    loads,
    pieces: ["All", " is", " well", " ✓"],
    manner: {},
    fault: null,
    load(name, { vramBytes = 0, keepAliveMs = DEFAULT_KEEP_ALIVE_MS, contextSize = DEFAULT_CONTEXT } = {}) {
      const model = node.models.find((each) => each.name === name);
      if (!model) throw new Error(`The node has no ${name}`);
      loaded.set(name, { model, vramBytes, contextSize, running: 0, keepAliveMs, expiresMs: null, expiring: false });
      node.request(name)();
    },
    request(name) {
      const entry = loaded.get(name);
      if (!entry) throw new Error(`${name} is not loaded`);
      entry.running++;
      let open = true;
      return () => {
        if (!open) return;
        open = false;
        entry.running--;
        // Only the end of a request moves the expiry (server/sched.go, processCompleted).
        if (entry.running === 0) entry.expiresMs = Date.now() + entry.keepAliveMs;
        if (entry.running === 0 && entry.expiring) loaded.delete(name);
      };
    },
    loaded: () => [...loaded.keys()],
    running: () => [...loaded.values()].reduce((sum, { running }) => sum + running, 0),
    stop: () => listener.stop(0),
  };
  return node;
}

/** Its first number tells the text's length, so that an order can be seen: 0.6 and 0.8 for one character. Of unit length, as
 *  Ollama's are (server/routes.go, normalize). */
function vectorOf(text: string, dimensions: number): readonly number[] {
  const raw = Array.from({ length: dimensions }, (_, at) => (at === 0 ? text.length * 3 : 4));
  const length = Math.hypot(...raw);
  return raw.map((value) => value / length);
}

/** clients.md 3a: size, size_vram, expires_at, context_length. While its first request runs, the expiry is counted from now
 *  (server/routes.go, PsHandler). */
function psOf({ model, vramBytes, contextSize, expiresMs, keepAliveMs }: Loaded) {
  const { name, model: id, size, digest, details } = tagOf(model);
  const expires = new Date(expiresMs ?? Date.now() + keepAliveMs).toISOString();
  const memory = { size_vram: vramBytes, expires_at: expires, context_length: contextSize };
  return { name, model: id, size, digest, details, ...memory };
}
