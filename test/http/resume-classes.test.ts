/** The table in docs/operating.md of what goes on and what does not: each of its rows, as it says. */
import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PROMPT, TEXT, THOUGHT } from "../core/continuation-support.ts";
import { afterEvents, type Dying, LOST, setDying } from "./resuming.ts";
import { clearStages, lastError } from "./stage.ts";

afterEach(clearStages);

interface Case {
  /** `/v1/completions` instead of chat. */
  readonly prompt?: unknown;
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly dying?: Partial<Dying>;
  /** In the error; a stream without one goes on. */
  readonly why?: string;
}

const TIGHT = { dying: { own: { resumeWithin: "0.001s" } } };

/** By row; several of one row each by itself. */
const ROWS: Readonly<Record<string, readonly Case[]>> = {
  "chat, streamed": [{}],
  "completion, streamed": [{ prompt: PROMPT }],
  "chat that thinks (`reasoning_content`), streamed": [
    { dying: { reciter: { tokens: [...THOUGHT, ...TEXT], promptTokens: 9 } } },
  ],
  "tools, or functions": [
    { fields: { tools: [{ type: "function" }] }, why: "it may call tools" },
    { fields: { functions: [{}] }, why: "it may call tools" },
  ],
  "`response_format`, `json_schema` or `grammar`": [
    { fields: { response_format: { type: "json_object" } }, why: "its form is prescribed" },
    { fields: { json_schema: {} }, why: "its form is prescribed" },
    { prompt: PROMPT, fields: { grammar: "root ::= x" }, why: "its form is prescribed" },
  ],
  "`n` or `best_of` above 1": [
    { fields: { n: 2 }, why: "several answers" },
    { prompt: PROMPT, fields: { best_of: 2 }, why: "several answers" },
  ],
  "`logprobs`, `top_logprobs` or `n_probs`": [
    { fields: { logprobs: true, top_logprobs: 2 }, why: "logprobs" },
    { prompt: PROMPT, fields: { logprobs: 2 }, why: "logprobs" },
    { prompt: PROMPT, fields: { n_probs: 2 }, why: "logprobs" },
  ],
  "`mirostat`": [{ fields: { mirostat: 2 }, why: "mirostat" }],
  "`return_tokens`": [{ fields: { return_tokens: true }, why: "return_tokens" }],
  'thinking within the text (`reasoning_format: "none"`, or a text that begins with `<think>`)': [
    { fields: { reasoning_format: "none" }, why: "thinking is part of its text" },
    {
      dying: { reciter: { tokens: [{ kind: "text", text: "<think>" }, ...TEXT], promptTokens: 9 } },
      why: "thinking is part of its text",
    },
  ],
  "own last message of the assistant that is no plain text, or `continue_final_message`": [
    { fields: { messages: [{ role: "assistant", content: [] }] }, why: "no plain text" },
    { fields: { continue_final_message: true }, why: "how its prompt ends" },
  ],
  "`echo`, `suffix`, or several prompts": [
    { prompt: PROMPT, fields: { echo: true }, why: "echo" },
    { prompt: PROMPT, fields: { suffix: "x" }, why: "suffix" },
    { prompt: ["a", "b"], why: "several prompts" },
  ],
  "header `x-synaptic-resume: off`, streamed or whole": [{ headers: { "x-synaptic-resume": "off" }, why: LOST }],
  "longer than `synaptic.resumeWithin` (60 s; 0 resumes nothing), or no room on the survivors": [
    { ...TIGHT, dying: { ...TIGHT.dying, onDeath: ({ runtime }) => runtime.hold() }, why: "ask again in about" },
  ],
  "a chat template that cannot begin an answer with a text": [
    {
      dying: {
        async instead(reply) {
          if (reply.asked.path !== "/apply-template") return false;
          await reply.whole(400, '{"error":{"code":400,"message":"incompatible with enable_thinking"}}');
          return true;
        },
      },
      why: "its chat template cannot begin an answer with a text",
    },
  ],
  "more than 4 MiB sent": [
    {
      dying: { bytes: [4.5 * 1024 ** 2], reciter: { tokens: longText(), promptTokens: 9 } },
      why: "too much of it was sent",
    },
  ],
  "lost again twice without a new word between": [
    { dying: { bytes: [afterEvents(7), afterEvents(1), afterEvents(1)] }, why: "the same place each time" },
  ],
};

/** These are whole answers: before-first-byte.test.ts and resume.test.ts. */
const ELSEWHERE = ["chat or completion, whole", "any, before its first byte"];

function longText() {
  return Array.from({ length: 500 }, () => ({ kind: "text" as const, text: "x".repeat(10_000) }));
}

test("each row of the table is one of these, and each of these a row", () => {
  const docs = readFileSync(join(import.meta.dir, "..", "..", "docs", "operating.md"), "utf8");
  const [, table = ""] = docs.split("| request | after the loss |\n|---|---|\n");
  const rows = [...(table.split("\n\n")[0] ?? "").matchAll(/^\| (.+?) \| (.+) \|$/gm)];
  const documented = rows.map(([, request = "", what = ""]): [string, boolean] => [request, what.startsWith("error")]);
  const tested = Object.entries(ROWS).map(([row, cases]): [string, boolean] => {
    return [row, cases.every(({ why }) => why !== undefined)];
  });
  expect(new Map(documented.filter(([row]) => !ELSEWHERE.includes(row)))).toEqual(new Map(tested));
});

const CASES = Object.entries(ROWS).flatMap(([row, cases]) => cases.map((each, at) => [row, at + 1, each] as const));

describe("a stream whose coordinator dies", () => {
  test.each(CASES)("%s (%d)", async (_, __, { prompt, fields = {}, headers = {}, dying = {}, why }) => {
    const dialect = prompt === undefined ? "chat" : "completion";
    const stage = setDying({ bytes: [afterEvents(7, dialect)], ...dying });
    const input = prompt === undefined ? { messages: [{ role: "user", content: "hi" }] } : { prompt };
    const response = await stage.fetch(prompt === undefined ? "/v1/chat/completions" : "/v1/completions", {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ model: "m", stream: true, ...input, ...fields }),
    });
    const heard = await response.text();
    expect(stage.runtime.busy()).toBe(0);
    if (why === undefined) {
      expect(heard).toEndWith("data: [DONE]\n\n");
      return;
    }
    expect(lastError(heard).message).toContain(why);
    expect(lastError(heard).code).toBe("upstream_error");
    expect(heard).not.toContain("[DONE]");
  });
});
