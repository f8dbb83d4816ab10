/** Whether each configured Ollama node answers, for `synaptic check`. */
import type { Config } from "../core/config-types.ts";
import { applyPoll, unknownNode, viewNode } from "../core/node.ts";
import type { NodeSnapshot } from "../core/snapshot.ts";
import type { Ports } from "../engine/ports.ts";

/** Asks all nodes once, side by side; the one that nobody named is left out unless it answers. */
export async function askNodes(
  { ollama, clock }: Pick<Ports, "ollama" | "clock">,
  { ollama: { nodes }, probe }: Pick<Config, "ollama" | "probe">,
  signal: AbortSignal,
): Promise<readonly NodeSnapshot[]> {
  const asked = nodes.map(async ({ url, implied }): Promise<readonly NodeSnapshot[]> => {
    const poll = await ollama.poll(url, { timeoutMs: probe.timeoutMs, signal });
    const nowMs = clock.now();
    const node = viewNode(url, applyPoll(unknownNode(nowMs), poll, { nowMs, failures: 1, successes: 1 }));
    return implied && node.state !== "up" ? [] : [node];
  });
  const seen = (await Promise.all(asked)).flat();
  signal.throwIfAborted();
  return seen;
}
