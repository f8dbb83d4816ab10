/** Takes out the block in which Claude Code tells Anthropic whom to bill. Pure. */
import { isObject } from "./json.ts";

/**
 * The first system block, or the beginning of the first one:
 * `x-anthropic-billing-header: cc_version=2.1.37.0d9; cc_entrypoint=cli; cch=fa690;`. Its `cch` changes with every
 * request, and no cached prefix fits what comes after it (facts/clients.md 1a; llama.cpp#20623, #21793).
 */
const BILLING = /^\s*x-anthropic-billing-header:(?:[ \t]*[\w-]+=[^;\n]*(?:;|(?=\n)|$))*[ \t]*\n?/i;

/** The body without it; the very same object when there is nothing to take out, so that its bytes may go on as they are. */
export function stripBilling<Body>(body: Body): Body {
  if (!isObject(body)) return body;
  const { system } = body;
  if (typeof system === "string") {
    const rest = withoutBilling(system);
    return rest === system ? body : { ...body, system: rest };
  }
  if (!Array.isArray(system)) return body;
  const rest = system.flatMap(withoutBillingBlock);
  const isSame = rest.length === system.length && rest.every((block, at) => block === system[at]);
  return isSame ? body : { ...body, system: rest };
}

function withoutBillingBlock(block: unknown): readonly unknown[] {
  if (!isObject(block) || typeof block.text !== "string") return [block];
  const text = withoutBilling(block.text);
  if (text === block.text) return [block];
  return text.trim() === "" ? [] : [{ ...block, text }];
}

function withoutBilling(text: string): string {
  return text.replace(BILLING, "");
}
