/** Models that only Ollama nodes have: not here, so that no coordinator can be given them; and what to do about it. Pure. */
import { HEAD_MACHINE } from "./health.ts";
import { ollamaKey } from "./ollama.ts";
import type { NodeSnapshot } from "./snapshot.ts";

export interface ElsewhereModel {
  /** As the nodes show it. */
  readonly id: string;
  readonly digest: string | null;
  /** Of all its files; null when unknown. */
  readonly bytes: number | null;
  readonly quantization: string | null;
  /** The nodes that have it. */
  readonly urls: readonly string[];
  /** What to do to have it here. */
  readonly remedy: string;
}

/** Names ascending; of several tags in different spelling the first one. `isHere` tells by Ollama's key what is known already. */
export function findElsewhere(
  nodes: readonly NodeSnapshot[],
  isHere: (key: string) => boolean,
): readonly ElsewhereModel[] {
  const found = new Map<string, ElsewhereModel>();
  for (const { url, machine, models } of nodes) {
    for (const { name, digest, bytes, quantization, remoteHost } of models) {
      const key = ollamaKey(name);
      if (key === null || isHere(key)) continue;
      const known = found.get(key);
      if (known) found.set(key, { ...known, urls: [...known.urls, url] });
      else {
        const remedy = remoteHost ? cloudRemedy(remoteHost) : remedyFor(name, machine);
        found.set(key, { id: name, digest, bytes, quantization, urls: [url], remedy });
      }
    }
  }
  return [...found.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

function remedyFor(name: string, machine: string): string {
  return machine === HEAD_MACHINE
    ? "Ollama on this machine keeps it where synaptic does not look: name that folder as synaptic.ollama.modelsDir"
    : `\`ollama pull ${name}\` on the head node, or copy its store`;
}

function cloudRemedy(host: string): string {
  return `a cloud model of ${host}, without weights: ask Ollama for it`;
}

/** `on http://10.0.0.5:11434 only`. */
export function placesOfElsewhere({ urls }: ElsewhereModel): string {
  const [first = "", ...others] = urls;
  return others.length === 0 ? `on ${first} only` : `on ${first} and ${others.length} more, not here`;
}
