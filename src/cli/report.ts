/** The report of `synaptic prove`, in Markdown that reads well in a terminal. Pure. */
import { shellCommand } from "../core/argv.ts";
import type { Proof } from "../core/proof.ts";
import type { CoordinatorSnapshot, Snapshot } from "../core/snapshot.ts";
import type { Speech } from "./listen.ts";
import { describeSize, renderBackends, renderProof } from "./render.ts";

export interface ReportInput {
  readonly snapshot: Snapshot;
  readonly coordinator: CoordinatorSnapshot;
  readonly speech: Speech;
  readonly at: Date;
}

export interface Report {
  readonly proven: boolean;
  readonly text: string;
}

export function renderReport({ snapshot, coordinator, speech, at }: ReportInput): Report {
  const { plan, proof } = coordinator;
  const problems = findProblems(coordinator, speech);
  const proven = problems.length === 0;
  const verdict =
    proven && proof ? `PROVEN: ${describeProof(speech.model, proof)}.` : `NOT PROVEN: ${problems.join("; ")}.`;
  const sections = [
    `# Proof of sharding: ${speech.model}`,
    `synaptic ${snapshot.version}, llama-server ${snapshot.engine?.version ?? "unknown"}, ${at.toISOString()}`,
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

function describeProof(model: string, { backends, totalLayers }: Proof): string {
  const layers = backends.reduce((sum, backend) => sum + backend.layers, 0);
  const where = backends.length === 1 ? "1 RPC backend" : `${backends.length} RPC backends`;
  return `${layers} of ${totalLayers} layers of ${model} lie on ${where}, as planned, and the text above was computed there`;
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

/** Longer than any run of backticks inside: a model may say them. */
function fence(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const marks = "`".repeat(longest + 1);
  return `${marks}\n${text}${marks}`;
}

function rate(perSecond: number | null): string {
  return perSecond === null ? "not measured" : `${perSecond.toFixed(1)} tokens/s`;
}
