/** Records what the real llama-server answers, thoughts and tool calls included, for the tests of the translators. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findLlamaServer } from "../src/io/llama-files.ts";
import { writeRecitingModel } from "./recite.ts";

/** What a model with a mind would say: a thought, a text, and two calls. */
const THINKING = `<think>Rain? Let me
look.
</think>

I ask. <tool_call>
{"name": "get_weather", "arguments": {"city": "Osl\\"ø", "days": 3}}
</tool_call>${" "}
<tool_call>
{"name":"get_time","arguments":{}}
</tool_call>`;

/** Enough of Qwen's template for llama.cpp to see thoughts and calls in it. */
const TEMPLATE = `{%- if tools %}{{- '<|im_start|>system\\n# Tools\\n<tools>' }}{%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}{{- "\\n</tools>\\n\\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\\n<tool_call>\\n{\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}\\n</tool_call><|im_end|>\\n" }}{%- endif %}{%- for message in messages %}{%- if message.role == "assistant" %}{{- '<|im_start|>' + message.role + '\\n' }}{%- if message.reasoning_content %}{{- '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' }}{%- endif %}{%- if message.content %}{{- message.content }}{%- endif %}{%- if message.tool_calls %}{%- for tool_call in message.tool_calls %}{%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}{{- '\\n<tool_call>\\n{"name": "' }}{{- tool_call.name }}{{- '", "arguments": ' }}{%- if tool_call.arguments is string %}{{- tool_call.arguments }}{%- else %}{{- tool_call.arguments | tojson }}{%- endif %}{{- '}\\n</tool_call>' }}{%- endfor %}{%- endif %}{{- '<|im_end|>\\n' }}{%- elif message.role == "tool" %}{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}{%- else %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}`;

const MODEL = { layers: 4, type: "F16" } as const;
const MESSAGES = [{ role: "user", content: "hi" }];
const USAGE = { stream: true, stream_options: { include_usage: true } };
const tool = (name: string, properties: object) => ({
  type: "function",
  function: { name, parameters: { type: "object", properties } },
});
const TOOLS = [tool("get_weather", { city: { type: "string" }, days: { type: "integer" } }), tool("get_time", {})];
const SCHEMA = { type: "object", properties: { a: { type: "integer", minimum: 1, maximum: 9 } }, required: ["a"] };
const FORMAT = { type: "json_schema", json_schema: { name: "schema", schema: SCHEMA } };
const CHAT = "/v1/chat/completions";
const TEXT = "/v1/completions";

type Ask = readonly [name: string, path: string, body: object];

const RECITED: readonly Ask[] = [
  ["chat", CHAT, { messages: MESSAGES, max_tokens: 3, ...USAGE }],
  ["chatWithoutUsage", CHAT, { messages: MESSAGES, max_tokens: 3, stream: true }],
  ["chatLogprobs", CHAT, { messages: MESSAGES, max_tokens: 2, ...USAGE, logprobs: true, top_logprobs: 2 }],
  ["chatSchema", CHAT, { messages: MESSAGES, max_tokens: 30, ...USAGE, response_format: FORMAT }],
  ["chatWhole", CHAT, { messages: MESSAGES, max_tokens: 3, logprobs: true, top_logprobs: 1 }],
  ["completion", TEXT, { prompt: "hi", max_tokens: 3, ...USAGE, logprobs: 1 }],
  ["completionWhole", TEXT, { prompt: "hi", max_tokens: 3 }],
  // `/infill` answers in this form too; it wants a model with gap tokens.
  ["own", "/completion", { prompt: "hi", n_predict: 2, stream: true, n_probs: 1 }],
  ["ownWhole", "/completion", { prompt: "hi", n_predict: 2 }],
  ["tooLong", CHAT, { messages: [{ role: "user", content: "a".repeat(2000) }], ...USAGE }],
];
const THOUGHT: readonly Ask[] = [
  ["tools", CHAT, { messages: MESSAGES, max_tokens: 120, ...USAGE, tools: TOOLS, parallel_tool_calls: true }],
  ["toolsCut", CHAT, { messages: MESSAGES, max_tokens: 9, ...USAGE, tools: TOOLS }],
  ["toolsWhole", CHAT, { messages: MESSAGES, max_tokens: 120, tools: TOOLS, parallel_tool_calls: true }],
];
const EMBEDDED: readonly Ask[] = [["embeddings", "/v1/embeddings", { input: ["hi", "you"], encoding_format: "float" }]];

const START_MS = 30_000;
const FIRST_PORT = 20_000;
const PORTS = 12_000;
const TARGET = join(import.meta.dir, "..", "test", "fixtures", "llama-streams.json");

const folder = mkdtempSync(join(tmpdir(), "synaptic-capture-"));
try {
  const plain = join(folder, "plain.gguf");
  const thinking = join(folder, "thinking.gguf");
  await writeRecitingModel({ path: plain, ...MODEL });
  await writeRecitingModel({ path: thinking, ...MODEL, text: THINKING, chatTemplate: TEMPLATE });
  const recorded = {
    ...(await record(plain, RECITED)),
    ...(await record(thinking, THOUGHT)),
    ...(await record(plain, EMBEDDED, ["--embeddings", "--pooling", "mean"])),
  };
  await Bun.write(TARGET, `${JSON.stringify(recorded, null, 2)}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** The text of each answer by its name. */
async function record(path: string, asks: readonly Ask[], extra: readonly string[] = []) {
  const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
  const flags = ["--alias", "m", "--ctx-size", "1024", "--gpu-layers", "0", "--fit", "off", "--no-warmup", "--offline"];
  const address = ["--threads", "1", "--host", "127.0.0.1", "--port", String(port)];
  const command = [findLlamaServer({ env: process.env }).path, "--model", path, ...flags, ...address, ...extra];
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  const url = `http://127.0.0.1:${port}`;
  try {
    await waitUntilReady(url, child);
    const answers: Record<string, string> = {};
    for (const [name, target, body] of asks) answers[name] = await ask(`${url}${target}`, body);
    return answers;
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}

async function ask(url: string, body: object): Promise<string> {
  const headers = { "content-type": "application/json" };
  const init = { method: "POST", headers, keepalive: false, signal: AbortSignal.timeout(START_MS) };
  return await (await fetch(url, { ...init, body: JSON.stringify({ model: "m", ...body }) })).text();
}

async function waitUntilReady(url: string, child: { readonly exitCode: number | null }): Promise<void> {
  const until = performance.now() + START_MS;
  while (child.exitCode === null && performance.now() < until) {
    const answer = await fetch(`${url}/health`, { keepalive: false }).catch(() => null);
    if (answer?.ok) return;
    // It tells nobody when it listens, so it is asked.
    await Bun.sleep(50);
  }
  throw new Error("llama-server did not start");
}
