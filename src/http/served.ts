/** The names of all models that are served: the head node's, and what only nodes of the pool have beside them. */
import { SynapticError } from "../core/errors.ts";
import { ollamaKey } from "../core/ollama.ts";
import type { NodeSnapshot } from "../core/snapshot.ts";
import type { RuntimeView } from "./runtime-view.ts";

/** The nodes that requests can go to. */
export function poolNodes({ config, nodes }: RuntimeView): readonly NodeSnapshot[] {
  return config.pool ? nodes.snapshot().filter(({ state }) => state === "up") : [];
}

/** Each once, under any spelling. */
export async function servedNames(view: RuntimeView): Promise<readonly string[]> {
  const ids = (await view.catalog.list()).map(({ id }) => id);
  const known = new Set(ids.map(ollamaKey));
  const beside = poolNodes(view).flatMap(({ models }) => models.map(({ name }) => name));
  // Plain files need not have names of Ollama's, and two of them may differ in case alone: only nodes' are compared.
  const others = new Map(beside.filter((name) => !known.has(ollamaKey(name))).map((name) => [ollamaKey(name), name]));
  return [...ids, ...others.values()];
}

/** As it is listed. @throws SynapticError `model_not_found`, `model_unreadable`. */
export async function servedName(view: RuntimeView, model: string): Promise<string> {
  try {
    return (await view.catalog.find(model)).id;
  } catch (error) {
    const key = ollamaKey(model);
    const found = poolNodes(view)
      .flatMap(({ models }) => models)
      .find(({ name }) => key !== null && ollamaKey(name) === key);
    if (found && error instanceof SynapticError) return found.name;
    throw error;
  }
}
