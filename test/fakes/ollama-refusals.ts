/** What a fake Ollama refuses before it runs a model. Each behaviour names the fact it copies. */
import type { Prompt } from "./ollama-mind.ts";
import { can, type FakeModel } from "./ollama-shelf.ts";

/** server/routes.go, Serve: `num_ctx` where less than 23 GiB of accelerators' memory are there. */
export const DEFAULT_CONTEXT = 4096;

/** Null where it goes on. */
export function refuse(model: FakeModel, prompt: Prompt): Response | null {
  const bad = (error: string) => Response.json({ error }, { status: 400 });
  // server/routes.go, handleScheduleError: `%q does not support ...`.
  if (!can(model, "completion")) return bad(`"${prompt.model}" does not support chat`);
  if ((prompt.tools ?? []).length > 0 && !can(model, "tools")) return bad(`"${prompt.model}" does not support tools`);
  // clients.md 3, reasoning in: on a model that does not think 400; `false` is harmless (clients.md check 39).
  if (prompt.think && !can(model, "thinking")) return bad(`"${prompt.model}" does not support thinking`);
  if (prompt.suffix && !can(model, "insert")) return bad(`${prompt.model} does not support insert`);
  const images = [...(prompt.images ?? []), ...(prompt.messages ?? []).flatMap(({ images }) => images ?? [])];
  if (images.length > 0 && !can(model, "vision")) {
    // llm/llama_server.go passes its llama-server's own words on, as a 500.
    return Response.json({ error: "image input is not supported - hint: provide an mmproj" }, { status: 500 });
  }
  // clients.md 3, context overflow: dropped without a word unless `truncate` is false.
  const words = wordsOf([prompt.prompt ?? "", ...(prompt.messages ?? []).map(({ content }) => content)].join(" "));
  const isTooLong = words > (prompt.options?.num_ctx ?? DEFAULT_CONTEXT);
  return isTooLong && prompt.truncate === false ? bad("the input length exceeds the context length") : null;
}

/** A word is a token here. */
export function wordsOf(text: string): number {
  return text.split(/\s+/).filter((word) => word !== "").length;
}
