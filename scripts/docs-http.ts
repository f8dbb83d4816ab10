/** Endpoints, error codes and metrics as Markdown tables, from the code that serves them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { resolveConfig } from "../src/core/config.ts";
import { type ErrorCode, exitCode, SynapticError, toOpenAi } from "../src/core/errors.ts";
import { createMetrics } from "../src/engine/metrics.ts";
import { Runtime } from "../src/engine/runtime.ts";
import { createApp } from "../src/http/app.ts";
import { clock } from "../src/io/clock.ts";
import { requestUpstream } from "../src/io/http-client.ts";
import { createLlamaPort } from "../src/io/llama-process.ts";
import { createLogger } from "../src/io/log.ts";
import { readMemory } from "../src/io/memory.ts";
import { listModelFiles, readModel } from "../src/io/model-files.ts";
import { pollNode, unloadFromNode } from "../src/io/ollama-client.ts";
import { readProjector } from "../src/io/projector-file.ts";
import { random } from "../src/io/random.ts";
import { openSentinel, probeBackend } from "../src/io/rpc-client.ts";
import { markdownTable } from "./bench-stats.ts";

const MEANINGS: Readonly<Record<string, readonly [key: string, meaning: string]>> = {
  "GET /": ["none", "one line of text: `Ollama is running`, and which synaptic; HEAD as well"],
  "GET /healthz": ["none", "200 while the process lives"],
  "GET /health": ["none", "the same, for clients that look there"],
  "GET /v1/health": ["none", "the same, for clients that look there"],
  "GET /readyz": ["none", "200 once the first probe round is over and the preload is loaded or has failed; 503 before"],
  "GET /v1/models": ["use", "OpenAI: all models that can be loaded, and those of nodes"],
  "GET /v1/models/:id{.+}": ["use", "OpenAI: one model"],
  "POST /v1/chat/completions": ["use", "OpenAI: chat, streamed or whole; loads the model when it is not loaded"],
  "POST /v1/completions": ["use", "OpenAI: plain completion, streamed or whole; loads the model when it is not loaded"],
  "POST /v1/embeddings": ["use", "OpenAI: vectors, by a node or by an embedding model on the head node"],
  "POST /v1/rerank": ["use", "as llama-server's: how well texts fit a question, by a ranking model on the head node"],
  "POST /v1/reranking": ["use", "the same"],
  "POST /v1/responses": [
    "use",
    "OpenAI: the Responses API, streamed or whole; items are kept for a while to be referred to",
  ],
  "POST /v1/messages": ["use", "Anthropic: a message, streamed or whole"],
  "POST /v1/messages/count_tokens": ["use", "Anthropic: how many tokens a message would have; 404 for models on nodes"],
  "POST /api/chat": [
    "use",
    "Ollama: chat, streamed unless told not to; without messages loads the model, or unloads it",
  ],
  "POST /api/generate": [
    "use",
    "Ollama: answers a prompt; without one loads the model, or unloads it (`keep_alive: 0`)",
  ],
  "POST /api/embed": ["use", "Ollama: embeddings, by a node or by an embedding model on the head node"],
  "POST /api/embeddings": ["use", "Ollama: one embedding, the old form"],
  "GET /api/tags": ["use", "Ollama: the models of the head node and of nodes, each name once"],
  "GET /api/ps": ["use", "Ollama: coordinators that are ready, and what nodes hold"],
  "POST /api/show": ["use", "Ollama: one model, with template, parameters and capabilities"],
  "GET /api/version": ["use", "Ollama: the release whose API this is"],
  "POST /api/me": ["use", "Ollama's command line: 401, since nobody is signed in"],
  "GET /api/status": ["use", "Ollama's command line: no cloud"],
  "POST /api/pull": ["admin", "Ollama: fetches a model to where it would run; `x-synaptic-reason` says where"],
  "POST /api/push": ["admin", "Ollama: by the first node that has the model"],
  "POST /api/create": ["admin", "Ollama: on the first node that has the model it is made `from`"],
  "POST /api/copy": ["admin", "Ollama: on every node that has the source"],
  "DELETE /api/delete": ["admin", "Ollama: from every node that has the model"],
  "GET /api/blobs/:digest": ["admin", "refused: files for `ollama create` go to a node itself"],
  "POST /api/blobs/:digest": ["admin", "refused, as above"],
  "GET /metrics": ["use", "Prometheus text"],
  "GET /synaptic/status": ["admin", "the snapshot: backends, coordinators, plans, proofs"],
  "GET /synaptic/plan": ["admin", "`?model=NAME`: where its layers would go now, and the llama-server command"],
  "GET /synaptic/explain": ["admin", "`?model=NAME`: where a request for it would go, why, and why nowhere else"],
  "GET /synaptic/models": ["admin", "all models, damaged ones too: what they are, where they would run now, and why"],
  "POST /synaptic/measure": [
    "admin",
    '`{"endpoints": [ENDPOINT], "head": true}`, both optional: times these backends now (all without a list), and the head node; answers when it is done, with the speed of each or why it was not timed',
  ],
  "POST /synaptic/models/load": ["admin", '`{"model": NAME}`: loads it, answers when it is ready'],
  "POST /synaptic/models/unload": ["admin", '`{"model": NAME}`: ends its coordinator, frees its backends'],
};

/** @throws SynapticError `internal` when the app serves what is not described here, or the other way round. */
export function endpoints(): string {
  const served = new Set(
    createApp(idleRuntime())
      .routes.filter(({ method }) => method !== "ALL")
      .map(({ method, path }) => `${method} ${path}`),
  );
  const unknown = [...served].filter((route) => !(route in MEANINGS));
  const gone = Object.keys(MEANINGS).filter((route) => !served.has(route));
  if (unknown.length + gone.length > 0) {
    throw new SynapticError("internal", `Cannot describe the endpoints: ${[...unknown, ...gone].join(", ")}`, {
      hint: "scripts/docs-http.ts has a line for each endpoint",
    });
  }
  const rows = Object.entries(MEANINGS).map(([route, [key, meaning]]) => [
    `\`${route.replace(":id{.+}", "{id}").replace(":digest", "{digest}")}\``,
    key,
    meaning,
  ]);
  return markdownTable(["endpoint", "scope of the key", "answer"], rows);
}

/** Built as in main.ts, and never started. */
function idleRuntime(): Runtime {
  const input = { file: null, flags: {}, env: {}, sideFiles: {}, home: "/", serving: false };
  const resolved = resolveConfig(input);
  if (!resolved.ok) throw new SynapticError("internal", "Cannot describe the endpoints: an empty config is refused");
  const ports = {
    clock,
    log: createLogger("error"),
    rpc: { probe: probeBackend, openSentinel },
    llama: createLlamaPort([], {}),
    models: {
      read: readModel,
      projector: readProjector,
      examine: async () => [],
      list: listModelFiles,
      stored: async () => ({ models: [], problems: [] }),
    },
    ollama: { poll: pollNode, unload: unloadFromNode },
    http: { request: requestUpstream },
    random,
    machine: { memory: readMemory },
    state: { read: async () => null, write: async () => {} },
    timingModel: async () => "",
  };
  return new Runtime({ config: resolved.config, ports, version: "" });
}

/** In the table's own order, which goes from the caller's faults to ours. */
export function errorCodes(): string {
  const source = readFileSync(join(import.meta.dir, "..", "src", "core", "errors.ts"), "utf8");
  // The table is private to its file; a word that is no code of it would make toOpenAi() throw.
  const codes = [...source.matchAll(/^ {2}(\w+): row\(/gm)].map(([, code]) => code as ErrorCode);
  const rows = codes.map((code) => {
    const error = new SynapticError(code, "");
    const { status, headers, body } = toOpenAi(error);
    const retry =
      headers["x-should-retry"] === "false"
        ? "no"
        : headers["retry-after"]
          ? "after `Retry-After`"
          : "as the client likes";
    return [`\`${code}\``, status, body.error.type, body.error.code ?? "null", retry, exitCode(error)];
  });
  return markdownTable(["error", "HTTP", "`error.type`", "`error.code`", "retry", "exit code of a command"], rows);
}

export async function metrics(): Promise<string> {
  const empty = {
    version: "",
    startedAt: "",
    ready: false,
    engine: null,
    engineFailure: null,
    head: { freeBytes: 0, totalBytes: 0 },
    backends: [],
    nodes: [],
    coordinators: [],
    requests: { inFlight: 0, limit: 0 },
  };
  const { text } = await createMetrics().render(empty);
  const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)/gm)].map(([, name = "", type = ""]) => [name, type]));
  const rows = [...text.matchAll(/^# HELP (\S+) (.+)$/gm)].map(([, name = "", help = ""]) => [
    `\`${name}\``,
    types.get(name) ?? "",
    help,
  ]);
  return markdownTable(["metric", "type", "meaning"], rows);
}
