/** Lines of JSON as Ollama's clients read them: each must be an object, and none may be blank. */

export type Line = Readonly<Record<string, unknown>> & {
  readonly message?: { readonly content: string };
  readonly response?: string;
  readonly done?: boolean;
  readonly error?: string;
};

export function linesOf(text: string): readonly Line[] {
  if (!text.endsWith("\n")) throw new Error(`the last line has no end: ${text.slice(-80)}`);
  return text
    .slice(0, -1)
    .split("\n")
    .map((line): Line => {
      const value: unknown = JSON.parse(line);
      if (typeof value !== "object" || value === null) throw new Error(`no object: ${line}`);
      // An object of JSON: its known fields are what the tests look at.
      return value as Line;
    });
}

/** The text of an answer. */
export function said(lines: readonly Line[]): string {
  return lines.map(({ message, response }) => message?.content ?? response ?? "").join("");
}

/** The message of an error, which must be all that the body has, in a text (facts/clients.md 2). */
export async function ollamaErrorOf(response: Response): Promise<string> {
  const body: unknown = await response.json();
  if (typeof body === "object" && body !== null && "error" in body && typeof body.error === "string") {
    if (Object.keys(body).length === 1) return body.error;
  }
  throw new Error(`Not Ollama's error: ${JSON.stringify(body)}`);
}
