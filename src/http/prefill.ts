/** Asks a coordinator about the text that it is to go on from. */
import { SynapticError } from "../core/errors.ts";
import { isObject, readJson } from "../core/translate/json.ts";
import { readBytes } from "./bytes.ts";
import type { Call } from "./call.ts";
import type { RuntimeView } from "./runtime-view.ts";
import { post } from "./upstream.ts";
import type { Place } from "./way.ts";

const MAX_BYTES = 64 * 1024 ** 2;

/** Tokens of a text; null when it does not say. */
export async function countTokens(
  view: RuntimeView,
  call: Call,
  place: Place,
  content: string,
): Promise<number | null> {
  const response = await post(view, call, place, { path: "/tokenize", body: JSON.stringify({ content }) });
  const answer = await read(response);
  return response.ok && isObject(answer) && Array.isArray(answer.tokens) ? answer.tokens.length : null;
}

/** Makes sure that the prompt of a chat ends with the text that was sent: templates may refuse it, close it, or put other
 *  text around it. @throws SynapticError `unsupported_parameter`. */
export async function checkPrefill(
  view: RuntimeView,
  call: Call,
  place: Place,
  { body, ending }: Prefill,
): Promise<void> {
  const response = await post(view, call, place, { path: "/apply-template", body });
  const answer = await read(response);
  const prompt = response.ok && isObject(answer) ? answer.prompt : null;
  if (typeof prompt === "string" && prompt.endsWith(ending)) return;
  throw new SynapticError("unsupported_parameter", "its chat template cannot begin an answer with a text");
}

export interface Prefill {
  /** Of the whole request. */
  readonly body: string;
  readonly ending: string;
}

async function read({ body }: Response): Promise<unknown> {
  const bytes = await readBytes(body, { maxBytes: MAX_BYTES });
  return readJson(new TextDecoder().decode(bytes ?? undefined));
}
