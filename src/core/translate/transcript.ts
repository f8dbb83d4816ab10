/** Builds the messages of an OpenAI chat so that every chat template takes them, whatever the order they come in. Pure. */

export type Part =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image_url"; readonly image_url: { readonly url: string } };

export interface PastCall {
  readonly id: string;
  readonly name: string;
  /** Text of a JSON object. */
  readonly arguments: string;
}

export interface AssistantTurn {
  readonly text: string;
  readonly reasoning: string;
  readonly calls: readonly PastCall[];
}

export interface ToolResult {
  readonly callId: string;
  readonly text: string;
  readonly images: readonly Part[];
}

export type ChatMessage = Readonly<Record<string, unknown>> & { readonly role: string };

export interface Transcript {
  system(text: string): void;
  user(parts: readonly Part[]): void;
  assistant(turn: AssistantTurn): void;
  result(result: ToolResult): void;
  finish(): readonly ChatMessage[];
}

type Turn =
  | { readonly role: "user"; readonly parts: Part[] }
  | { readonly role: "assistant"; text: string; reasoning: string; readonly calls: PastCall[] }
  | { readonly role: "tool"; readonly result: ToolResult };

/**
 * Turns of one side that follow each other become one: many templates refuse two. System texts join at the start; a
 * later one stays at its place within what the user says, since templates raise at a system message that is not the
 * first, and moving it forward would change the prefix that the cache holds. Images of a tool's result come after it
 * as the user's: no chat API has them in a tool message.
 */
export function createTranscript(): Transcript {
  const system: string[] = [];
  const turns: Turn[] = [];
  const names = new Map<string, string>();
  let waiting: Part[] = [];
  const say = (parts: readonly Part[]): void => {
    if (parts.length === 0) return;
    const last = turns.at(-1);
    if (last?.role === "user") last.parts.push(...parts);
    else turns.push({ role: "user", parts: [...parts] });
  };
  const sayWaiting = (): void => {
    say(waiting);
    waiting = [];
  };
  return {
    system(text) {
      if (text === "") return;
      if (turns.length === 0) system.push(text);
      else waiting.push({ type: "text", text: `<system-reminder>\n${text}\n</system-reminder>` });
    },
    user(parts) {
      // Only results were in it: more of them may follow.
      if (parts.length === 0) return;
      sayWaiting();
      say(parts);
    },
    assistant({ text, reasoning, calls }) {
      sayWaiting();
      for (const { id, name } of calls) names.set(id, name);
      const last = turns.at(-1);
      if (last?.role !== "assistant") return void turns.push({ role: "assistant", text, reasoning, calls: [...calls] });
      last.text += text;
      last.reasoning += reasoning;
      last.calls.push(...calls);
    },
    result(result) {
      turns.push({ role: "tool", result });
      waiting.push(...result.images);
    },
    finish() {
      sayWaiting();
      const first: ChatMessage[] = system.length > 0 ? [{ role: "system", content: system.join("\n\n") }] : [];
      return [...first, ...turns.map((turn) => toMessage(turn, names))];
    },
  };
}

function toMessage(turn: Turn, names: ReadonlyMap<string, string>): ChatMessage {
  switch (turn.role) {
    case "user":
      return { role: "user", content: contentOf(turn.parts) };
    case "assistant":
      return {
        role: "assistant",
        content: turn.text,
        ...(turn.reasoning !== "" && { reasoning_content: turn.reasoning }),
        ...(turn.calls.length > 0 && { tool_calls: turn.calls.map(toCall) }),
      };
    case "tool": {
      const name = names.get(turn.result.callId);
      const message = { role: "tool", tool_call_id: turn.result.callId, content: turn.result.text };
      // Ollama wants the name of the tool, and some templates do (facts/clients.md 3).
      return name === undefined ? message : { ...message, name };
    }
  }
}

/** One text stays a text: not every template knows lists. */
function contentOf(parts: readonly Part[]): string | readonly Part[] {
  const [only, ...others] = parts;
  return only?.type === "text" && others.length === 0 ? only.text : parts;
}

function toCall({ id, name, arguments: text }: PastCall): Readonly<Record<string, unknown>> {
  return { id, type: "function", function: { name, arguments: text } };
}
