/** Asks a coordinator about the text that it is to go on from: whether it can, and how many tokens that is. */
import { nextBody, type Resumable, type Seam, textsAround, withoutDoubledEnd } from "../core/continuation.ts";
import { SynapticError } from "../core/errors.ts";
import { isObject, readJson } from "../core/translate/json.ts";
import { readBytes } from "./bytes.ts";
import type { Call } from "./call.ts";
import type { RuntimeView } from "./runtime-view.ts";
import { post } from "./upstream.ts";
import type { Place } from "./way.ts";

export interface Fitted {
  readonly seam: Seam;
  /** That were sent of it; null when the coordinator does not say. */
  readonly tokens: number | null;
}

const MAX_BYTES = 64 * 1024 ** 2;

/** Asks the coordinator that holds a place. */
export class Prefill {
  readonly #view: RuntimeView;
  readonly #call: Call;
  readonly #place: Place;

  constructor(view: RuntimeView, call: Call, place: Place) {
    this.#view = view;
    this.#call = call;
    this.#place = place;
  }

  /** Where the next request goes on from, as this coordinator's template wants it. Makes sure that the prompt of a chat ends
   *  with what was sent: templates may refuse it, close it, or put other text around it. @throws SynapticError
   *  `unsupported_parameter`. */
  async fit(request: Resumable, seam: Seam): Promise<Fitted> {
    if (seam.text === "" && seam.reasoning === "") return { seam, tokens: 0 };
    const texts = textsAround(request, seam);
    if (texts) return { seam, tokens: await this.#countBetween(texts) };
    const [before, after] = await Promise.all([this.#template(request.fields), this.#templateOf(request, seam)]);
    if (before === null || after === null || !endsWith(after, seam)) throw refused();
    const fitting = withoutDoubledEnd(seam, after);
    const then = fitting === seam ? after : await this.#templateOf(request, fitting);
    if (then === null) throw refused();
    return { seam: fitting, tokens: await this.#countBetween([before, then]) };
  }

  #templateOf(request: Resumable, seam: Seam): Promise<string | null> {
    return this.#template(nextBody(request, seam, { tokens: 0, hasFinished: false }));
  }

  async #countBetween([before, after]: readonly [string, string]): Promise<number | null> {
    const [less, more] = await Promise.all([this.#count(before), this.#count(after)]);
    return less === null || more === null ? null : Math.max(0, more - less);
  }

  async #template(body: object): Promise<string | null> {
    const answer = await this.#ask("/apply-template", body);
    return isObject(answer) && typeof answer.prompt === "string" ? answer.prompt : null;
  }

  async #count(content: string): Promise<number | null> {
    const answer = await this.#ask("/tokenize", { content, parse_special: true });
    return isObject(answer) && Array.isArray(answer.tokens) ? answer.tokens.length : null;
  }

  async #ask(path: string, body: object): Promise<unknown> {
    const response = await post(this.#view, this.#call, this.#place, { path, body: JSON.stringify(body) });
    const bytes = await readBytes(response.body, { maxBytes: MAX_BYTES });
    return readJson(new TextDecoder().decode(bytes ?? undefined));
  }
}

function refused(): SynapticError {
  return new SynapticError("unsupported_parameter", "its chat template cannot begin an answer with a text");
}

/** Line ends around a thought are none of its words: templates may take them away. */
function endsWith(prompt: string, { text, reasoning }: Seam): boolean {
  return text === "" ? prompt.trimEnd().endsWith(reasoning.trimEnd()) : prompt.endsWith(text);
}
