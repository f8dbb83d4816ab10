/** Ollama's model names: read, compared and shown as Ollama does. Pure. Grammar: facts/clients.md section 4. */

/** All four parts, in the case they were written in. On disk each is a folder, and the tag a file. */
export interface OllamaName {
  /** A registry, perhaps with `:port`. */
  readonly host: string;
  readonly namespace: string;
  readonly model: string;
  readonly tag: string;
}

const DEFAULT_HOST = "registry.ollama.ai";
const DEFAULT_NAMESPACE = "library";
const DEFAULT_TAG = "latest";

const HOST = /^\w[\w.:-]{0,349}$/;
/** A dot would let `ORG.EXAMPLE/MODEL` be read as a host. */
const NAMESPACE = /^\w[\w-]{0,79}$/;
const MODEL = /^\w[\w.-]{0,79}$/;
const SCHEME = /^https?:\/\//i;
/** All parts at their longest, their separators and a scheme. */
const LONGEST = 350 + 3 * 80 + 11;

/** A name as people type it, `[host/][namespace/]model[:tag]`, with Ollama's defaults filled in; null when it is none. */
export function parseOllamaName(text: string): OllamaName | null {
  if (text.length > LONGEST) return null;
  const name = text.replace(SCHEME, "");
  const colon = name.lastIndexOf(":");
  // Before the last slash a colon belongs to the host's port.
  const tagged = colon > name.lastIndexOf("/");
  const parts = (tagged ? name.slice(0, colon) : name).split("/");
  if (parts.length > 3) return null;
  const [model = "", namespace = DEFAULT_NAMESPACE, host = DEFAULT_HOST] = parts.toReversed();
  return ollamaName([host, namespace, model, tagged ? name.slice(colon + 1) : DEFAULT_TAG]);
}

/** The name that a manifest's path below `manifests` stands for; null when Ollama would not take it for one. */
export function ollamaName(parts: readonly [host: string, namespace: string, model: string, tag: string]) {
  const [host, namespace, model, tag] = parts;
  const valid = HOST.test(host) && NAMESPACE.test(namespace) && MODEL.test(model) && MODEL.test(tag);
  return valid ? ({ host, namespace, model, tag } satisfies OllamaName) : null;
}

/** As `ollama list` shows it: without the default host and namespace, always with the tag. */
export function showOllamaName({ host, namespace, model, tag }: OllamaName): string {
  const name = `${model}:${tag}`;
  if (!isSame(host, DEFAULT_HOST)) return `${host}/${namespace}/${name}`;
  return isSame(namespace, DEFAULT_NAMESPACE) ? name : `${namespace}/${name}`;
}

function isSame(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

/** The same text for all spellings of one name: case does not count, and defaults may be left out. Null for no name. */
export function ollamaKey(text: string): string | null {
  const name = parseOllamaName(text);
  return name && `${name.host}/${name.namespace}/${name.model}:${name.tag}`.toLowerCase();
}
