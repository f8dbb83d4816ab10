/** Records what the real llama-server answers in OpenAI's, Anthropic's and the Responses dialect, for the tests of core/translate. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findLlamaServer } from "../src/io/llama-files.ts";
import { writeRecitingModel } from "./recite.ts";

/** A model that knows one text by heart can be one that thinks, speaks and calls two tools at once. */
const TEXT =
  'They want weather: 東京, then 🌍 time.\n</think>\n\nLet me look "both" up.\n<tool_call>\n{"name": "get_weather", ' +
  '"arguments": {"city": "東京", "days": 2}}\n</tool_call>\n<tool_call>\n{"name":"get_time", ' +
  '"arguments":{"zone": "JST"}}\n</tool_call>';

/** The engine finds out by itself from this how thoughts and calls are written. */
const TEMPLATE = `{%- if tools %}{{ '<|im_start|>system\\nTools:\\n<tools>' }}{% for tool in tools %}{{ '\\n' + (tool | tojson) }}{% endfor %}{{ '\\n</tools>\\nFor each call: <tool_call>\\n{"name": <function-name>, "arguments": <args-json-object>}\\n</tool_call><|im_end|>\\n' }}{% endif %}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}{% if message.reasoning_content %}{{ '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' }}{% endif %}{{ message['content'] if message['content'] else '' }}{% if message.tool_calls %}{% for tc in message.tool_calls %}{{ '\\n<tool_call>\\n{"name": "' + tc.function.name + '", "arguments": ' + (tc.function.arguments | tojson) + '}\\n</tool_call>' }}{% endfor %}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% else %}{{ '<think>\\n' }}{% endif %}{% endif %}`;

const WEATHER = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city"],
};
const TIME = { type: "object", properties: { zone: { type: "string" } } };
const SCHEMAS = { get_weather: WEATHER, get_time: TIME };
const HI = [{ role: "user", content: "hi" }];

const chatTools = (names: readonly (keyof typeof SCHEMAS)[]) =>
  names.map((name) => ({ type: "function", function: { name, parameters: SCHEMAS[name] } }));
const BOTH = ["get_weather", "get_time"] as const;
const STREAM = { stream: true, stream_options: { include_usage: true } };
const CHAT = "/v1/chat/completions";

const RECORDINGS: Readonly<Record<string, readonly [path: string, body: object]>> = {
  "chat-tools": [CHAT, { messages: HI, max_tokens: 400, tools: chatTools(BOTH) }],
  "chat-tools-stream": [CHAT, { messages: HI, max_tokens: 400, tools: chatTools(BOTH), ...STREAM }],
  "chat-length-stream": [CHAT, { messages: HI, max_tokens: 9, ...STREAM }],
  "chat-stop": [CHAT, { messages: HI, max_tokens: 40, stop: [" up"], verbose: true }],
  "chat-stop-stream": [CHAT, { messages: HI, max_tokens: 40, stop: [" up"], verbose: true, ...STREAM }],
  // The model calls a tool that it was not offered: the engine gives up in the middle.
  "chat-broken-stream": [CHAT, { messages: HI, max_tokens: 400, tools: chatTools(["get_weather"]), ...STREAM }],
  "chat-prefill": [CHAT, { messages: [...HI, { role: "assistant", content: "Let me" }], max_tokens: 2 }],
  "chat-too-long": [CHAT, { messages: [{ role: "user", content: "hi ".repeat(3000) }] }],
  "chat-count": [`${CHAT}/input_tokens`, { messages: HI, tools: chatTools(BOTH) }],
  "messages-tools-stream": [
    "/v1/messages",
    {
      messages: HI,
      max_tokens: 400,
      stream: true,
      tools: BOTH.map((name) => ({ name, input_schema: SCHEMAS[name] })),
    },
  ],
  "messages-stop": ["/v1/messages", { messages: HI, max_tokens: 40, stop_sequences: [" up"] }],
  "messages-refused": ["/v1/messages", { max_tokens: 40 }],
  "responses-stream": ["/v1/responses", { input: "hi", stream: true, max_output_tokens: 12 }],
};

const START_MS = 30_000;
const ANSWER_MS = 30_000;

async function awaitHealth(url: string): Promise<void> {
  const until = performance.now() + START_MS;
  while (performance.now() < until) {
    const isReady = await fetch(`${url}/health`, { keepalive: false }).then(
      (answer) => answer.ok,
      () => false,
    );
    if (isReady) return;
    await Bun.sleep(50);
  }
  throw new Error(`llama-server did not start within ${START_MS} ms`);
}

/** Writes one file per recording into `folder`; what is recorded are the bytes of the answer's body. */
export async function recordDialects(folder: string, port: number): Promise<readonly string[]> {
  const scratch = mkdtempSync(join(tmpdir(), "synaptic-record-"));
  const model = join(scratch, "m.gguf");
  await writeRecitingModel({ path: model, layers: 4, type: "F16", text: TEXT, chatTemplate: TEMPLATE });
  const args = ["--model", model, "--alias", "m", "--ctx-size", "2048", "--parallel", "1", "--threads", "1"];
  const command = [findLlamaServer({ env: process.env }).path, ...args, "--host", "127.0.0.1", "--port", String(port)];
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  try {
    const url = `http://127.0.0.1:${port}`;
    await awaitHealth(url);
    for (const [name, [path, body]] of Object.entries(RECORDINGS)) {
      const request = { method: "POST", body: JSON.stringify({ model: "m", ...body }), keepalive: false };
      const answer = await fetch(`${url}${path}`, { ...request, signal: AbortSignal.timeout(ANSWER_MS) });
      await Bun.write(join(folder, `${name}.txt`), await answer.bytes());
    }
  } finally {
    child.kill("SIGKILL");
    await child.exited;
    rmSync(scratch, { recursive: true, force: true });
  }
  return Object.keys(RECORDINGS);
}

if (import.meta.main) {
  const folder = join(import.meta.dir, "..", "test", "core", "translate", "recorded");
  const names = await recordDialects(folder, Number(process.argv[2] ?? 23_790));
  console.log(`${names.length} answers of llama-server recorded in ${folder}`);
}
