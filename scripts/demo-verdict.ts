/** Whether the demo showed what it claims: the exact text, and layers and bytes on each backend. Pure. */
import type { CoordinatorSnapshot } from "../src/core/snapshot.ts";
import type { Endpoint } from "../src/core/units.ts";

export interface DemoEvidence {
  readonly coordinator: CoordinatorSnapshot | undefined;
  /** Those that the demo started. */
  readonly endpoints: readonly Endpoint[];
  readonly text: string;
  readonly expected: string;
}

/** One sentence for everything that is wrong; empty when all is shown. */
export function findDemoProblems({ coordinator, endpoints, text, expected }: DemoEvidence): readonly string[] {
  const problems = text === expected ? [] : [`the text is not the known one: ${firstDifference(text, expected)}`];
  const proof = coordinator?.proof;
  if (!proof) return [...problems, "synaptic has no proof of where the layers lie"];
  problems.push(...proof.problems);
  for (const endpoint of endpoints) {
    const seen = proof.backends.find((backend) => backend.endpoint === endpoint);
    const holds = seen && seen.layers > 0 && seen.modelBytes > 0 && seen.kvBytes > 0 && seen.computeBytes > 0;
    if (!holds) problems.push(`backend ${endpoint} holds no layers or no bytes`);
  }
  const placed = proof.backends.reduce((sum, { layers }) => sum + layers, 0);
  if (placed !== proof.totalLayers) problems.push(`${placed} of ${proof.totalLayers} layers lie on the backends`);
  return problems;
}

const LONGEST_WORD = 40;

function firstDifference(text: string, expected: string): string {
  const words = text.split(" ");
  const known = expected.split(" ");
  const at = known.findIndex((word, index) => words[index] !== word);
  if (at < 0) return "it goes on after its end";
  return `word ${at + 1} is "${(words[at] ?? "").slice(0, LONGEST_WORD)}", should be "${known[at]}"`;
}
