/** What a fake Ollama does beside answering: show, embed, and change its store. Shapes: facts/clients.md 3a, and Ollama's api/types.go. */
import { z } from "zod";
import { ollamaKey, parseOllamaName, showOllamaName } from "../../src/core/ollama.ts";
import type { FakeModel } from "./ollama-node.ts";

const asked = z.object({
  model: z.string().optional(),
  // ollama-js and -python still send `name` for some (clients.md 1a).
  name: z.string().optional(),
  source: z.string().optional(),
  destination: z.string().optional(),
  stream: z.boolean().optional(),
  input: z.union([z.string(), z.array(z.string())]).optional(),
  prompt: z.string().optional(),
});

type Asked = z.infer<typeof asked>;

/** What the node's store is asked; `models` is its own list, which these change. */
export interface Store {
  models: FakeModel[];
  /** Lines of a pull before its last one. */
  pullLines: readonly object[];
  /** It ends a pull without the last line. */
  pullBreaks: boolean;
}

const ROUTES = new Set([
  ...["POST /api/show", "POST /api/embed", "POST /api/embeddings", "POST /api/pull", "POST /api/push"],
  ...["POST /api/create", "POST /api/copy", "DELETE /api/delete"],
]);

/** Null when the route is none of these. */
export async function runErrand(route: string, request: Request, store: Store): Promise<Response | null> {
  if (!ROUTES.has(route)) return null;
  const parsed = asked.safeParse(await request.json().catch(() => null));
  if (!parsed.success) return refuse(400, "missing request body");
  const said = parsed.data;
  const name = said.model ?? said.name ?? said.source ?? "";
  // clients.md 3: names are compared without case, `:latest` is implied.
  const found = store.models.find((model) => ollamaKey(model.name) === ollamaKey(name));
  if (route === "POST /api/pull") return pull(name, said, store);
  if (route === "POST /api/create") return create(name, said, store);
  if (!found) return refuse(404, `model '${name}' not found`);
  switch (route) {
    case "POST /api/show":
      return Response.json(shown(found));
    case "POST /api/embed":
      return Response.json(embedded(name, said));
    case "POST /api/embeddings":
      return Response.json({ embedding: said.prompt ? VECTOR : [] });
    case "POST /api/push":
      return lines(said, [{ status: "pushing manifest" }, { status: "success" }]);
    case "POST /api/copy":
      store.models = [...store.models, { ...found, name: shownName(said.destination ?? "") }];
      return new Response(null, { status: 200 });
    default:
      store.models = store.models.filter((model) => model !== found);
      return new Response(null, { status: 200 });
  }
}

const VECTOR = [0.6, 0.8];

/** clients.md 2: always `{"error":"<string>"}`. */
function refuse(status: number, error: string): Response {
  return Response.json({ error }, { status });
}

function shownName(name: string): string {
  const parsed = parseOllamaName(name);
  return parsed ? showOllamaName(parsed) : name;
}

/** clients.md 3a: a line per status, of a download with its digest, total and completed; `success` is the last one. */
function pull(name: string, said: Asked, store: Store): Response {
  if (store.pullBreaks) return lines({ ...said, stream: true }, store.pullLines);
  if (!store.models.some((model) => ollamaKey(model.name) === ollamaKey(name))) {
    store.models = [...store.models, { name: shownName(name), bytes: 1_000_000 }];
  }
  return lines(said, [...store.pullLines, { status: "success" }]);
}

function create(name: string, said: Asked, store: Store): Response {
  store.models = [...store.models, { name: shownName(name), bytes: 1_000_000 }];
  return lines(said, [{ status: "writing manifest" }, { status: "success" }]);
}

/** clients.md 3a: without a stream the last line alone. */
function lines({ stream = true }: Asked, all: readonly object[]): Response {
  if (!stream) return Response.json(all.at(-1));
  const text = all.map((line) => `${JSON.stringify(line)}\n`).join("");
  return new Response(text, { headers: { "content-type": "application/x-ndjson" } });
}

function embedded(model: string, { input = [] }: Asked) {
  const texts = typeof input === "string" ? [input] : input;
  const embeddings = texts.map(() => VECTOR);
  return { model, embeddings, total_duration: 5_000, load_duration: 1_000, prompt_eval_count: texts.length };
}

/** clients.md 3a: capabilities is a list, model_info has the architecture and its context. */
function shown({ name }: FakeModel) {
  return {
    ...{ license: "", modelfile: `FROM ${name}`, parameters: "", template: "{{ .Prompt }}", system: "" },
    details: {
      ...{ parent_model: "", format: "gguf", family: "llama", families: ["llama"] },
      ...{ parameter_size: "8.0B", quantization_level: "Q4_K_M" },
    },
    model_info: { "general.architecture": "llama", "llama.context_length": 8192 },
    capabilities: ["completion", "tools"],
    modified_at: "2026-11-20T10:00:00.123456789Z",
  };
}
