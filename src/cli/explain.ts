/** `synaptic explain MODEL`: where a request for it would go now, why, and why nowhere else. */
import type { Config } from "../core/config-types.ts";
import { type Explanation, explanationOf, summaryOf } from "../core/explanation.ts";
import { findRunning } from "./client.ts";
import type { Host } from "./host.ts";
import { withRuntime } from "./look.ts";
import { idForServer, resolveModel } from "./model.ts";
import { table } from "./render.ts";

export interface ExplainOptions {
  readonly config: Config;
  readonly json: boolean;
  /** As typed: an id, or the path of a GGUF file. */
  readonly model: string;
}

/** Exit code 1 when nothing can run it now. */
export async function explainCommand(host: Host, options: ExplainOptions): Promise<number> {
  const explanation = await explain(host, options);
  host.write(options.json ? `${JSON.stringify(explanation, null, 2)}\n` : renderExplanation(explanation));
  return explanation.route === "refused" ? 1 : 0;
}

async function explain(host: Host, { config: given, model: name }: ExplainOptions): Promise<Explanation> {
  // What is wrong with backends, nodes and engine stands in the reasons.
  const ports = host.ports(given, "error");
  const client = await findRunning(ports.http, given);
  if (client) {
    const id = idForServer(host, given, name, client);
    // Our own server's answer, rendered only.
    return (await client.get(`/synaptic/explain?model=${encodeURIComponent(id)}`)) as Explanation;
  }
  const { config, model } = resolveModel(host, given, name);
  return await withRuntime(host, { config, ports }, async ({ dispatch }) =>
    explanationOf(model, await dispatch.explain(model, host.stopping)),
  );
}

/** The decision, then each place with what speaks for or against it. */
export function renderExplanation(explanation: Explanation): string {
  const rows = explanation.alternatives.map(({ target, chosen, why }) => [target, chosen ? "yes" : "no", why]);
  return `${summaryOf(explanation)}\n\n${table(["PLACE", "CHOSEN", "WHY"], rows)}`;
}
