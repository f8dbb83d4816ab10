/** The report of `synaptic prove`, in Markdown that reads well in a terminal. Pure. */

import { shellCommand } from "../core/argv.ts";
import type { CoordinatorSnapshot, Snapshot } from "../core/snapshot.ts";
import { describeSize, renderBackends, renderProof } from "./render.ts";

export interface Speech {
  readonly model: string;
  readonly text: string;
  readonly promptPerSecond: number | null;
  readonly tokensPerSecond: number | null;
}

export interface ReportInput {
  readonly snapshot: Snapshot;
  readonly coordinator: CoordinatorSnapshot;
  readonly speech: Speech;
}

export interface Report {
  readonly proven: boolean;
  readonly text: string;
}

export function renderReport({ snapshot, coordinator, speech }: ReportInput): Report {
  const { plan, proof } = coordinator;
  const problems = findProblems(coordinator, speech);
  const proven = problems.length === 0;
  const verdict = proven
    ? `PROVEN: ${proof?.offloadedLayers} of ${proof?.totalLayers} layers of ${speech.model} lie on ${proof?.backends.length} RPC backends, as planned, and the text above was computed there.`
    : `NOT PROVEN: ${problems.join("; ")}.`;
  const sections = [
    `# Proof of sharding: ${speech.model}`,
    `synaptic ${snapshot.version}, llama-server ${snapshot.engine?.version ?? "unknown"}, ${new Date().toISOString()}`,
    `## Backends\n\n${fence(renderBackends(snapshot.backends))}`,
    plan && proof ? `## Plan against proof\n\n${describeSize(plan)}\n\n${fence(renderProof(plan, proof))}` : "",
    plan
      ? `${plan.reasons.map((reason) => `- ${reason}`).join("\n")}\n\n${fence(`${shellCommand(plan.command)}\n`)}`
      : "",
    `## Text\n\n${fence(`${speech.text.trim()}\n`)}`,
    `Prompt ${rate(speech.promptPerSecond)}, eval ${rate(speech.tokensPerSecond)}`,
    `## Verdict\n\n${verdict}`,
  ];
  return { proven, text: `${sections.filter((section) => section !== "").join("\n\n")}\n` };
}

function findProblems({ proof }: CoordinatorSnapshot, { text }: Speech): readonly string[] {
  if (!proof) return ["the coordinator has no proof"];
  const problems = [...proof.problems];
  if (proof.backends.length === 0) problems.push("no RPC backend takes part");
  for (const { endpoint, layers, modelBytes } of proof.backends) {
    if (layers === 0 || modelBytes === 0) problems.push(`${endpoint} holds nothing`);
  }
  if (text.trim() === "") problems.push("the model said nothing");
  return problems;
}

function fence(text: string): string {
  return `\`\`\`\n${text}\`\`\``;
}

function rate(perSecond: number | null): string {
  return perSecond === null ? "not measured" : `${perSecond.toFixed(1)} tokens/s`;
}
