/** Renders a `template` of /api/generate, as far as it is text around a system, a prompt and a suffix. Pure. */

/** Whatever else Go's templates can do is not rendered here: guessed prompts are worse than a refusal. */
const ACTION = /\{\{(-?)\s*(.*?)\s*(-?)\}\}/gs;
const VALUE = /^\.(System|Prompt|Suffix|Response)$/;
const IF = /^if\s+\.(System|Prompt|Suffix)$/;

type Name = "System" | "Prompt" | "Suffix" | "Response";
export type TemplateValues = Readonly<Record<"System" | "Prompt" | "Suffix", string>>;

type Token =
  | { readonly tag: "text"; readonly text: string }
  | { readonly tag: "value"; readonly name: Name }
  | { readonly tag: "if"; readonly name: Name }
  | { readonly tag: "else" }
  | { readonly tag: "end" };

const LONGEST = 64 * 1024;
const DEEPEST = 16;

/** The prompt; null when the template is not of that kind. What follows `.Response` is cut off, as Ollama does. */
export function renderTemplate(template: string, values: TemplateValues): string | null {
  const tokens = template.length <= LONGEST ? tokensOf(template) : null;
  if (!tokens) return null;
  let prompt = "";
  // Of each open `if`: whether its part is written, and whether its `else` was seen.
  const open: { written: boolean; elseSeen: boolean }[] = [];
  for (const token of tokens) {
    const writes = open.every(({ written }) => written);
    switch (token.tag) {
      case "text":
        if (writes) prompt += token.text;
        break;
      case "value":
        if (!writes) break;
        if (token.name === "Response") return prompt;
        prompt += values[token.name];
        break;
      case "if":
        if (open.length === DEEPEST || token.name === "Response") return null;
        open.push({ written: values[token.name] !== "", elseSeen: false });
        break;
      case "else": {
        const last = open.at(-1);
        if (!last || last.elseSeen) return null;
        last.written = !last.written;
        last.elseSeen = true;
        break;
      }
      case "end":
        if (!open.pop()) return null;
        break;
    }
  }
  return open.length === 0 ? prompt : null;
}

function tokensOf(template: string): readonly Token[] | null {
  const tokens: Token[] = [];
  let from = 0;
  let trims = false;
  const addText = (text: string): void => {
    if (text !== "") tokens.push({ tag: "text", text });
  };
  for (const { index, 0: whole, 1: before, 2: action = "", 3: after } of template.matchAll(ACTION)) {
    const text = template.slice(from, index);
    const started = trims ? text.trimStart() : text;
    addText(before ? started.trimEnd() : started);
    const token = tokenOf(action);
    if (!token) return null;
    tokens.push(token);
    from = index + whole.length;
    trims = after === "-";
  }
  const text = template.slice(from);
  addText(trims ? text.trimStart() : text);
  return tokens;
}

function tokenOf(action: string): Token | null {
  if (action === "else" || action === "end") return { tag: action };
  const [, value] = VALUE.exec(action) ?? [];
  const [, condition] = IF.exec(action) ?? [];
  if (isName(value)) return { tag: "value", name: value };
  return isName(condition) ? { tag: "if", name: condition } : null;
}

function isName(name: string | undefined): name is Name {
  return name === "System" || name === "Prompt" || name === "Suffix" || name === "Response";
}
