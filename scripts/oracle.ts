/** Holds plans against llama.cpp's own planner, for models of every class: prints a table, and writes it into the
 *  documents when asked. `bun scripts/oracle.ts [--write]` */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describeError, exitCode, fromUnknown, SynapticError } from "../src/core/errors.ts";
import { markdownTable } from "./bench-stats.ts";
import { ensureLlama } from "./llama.ts";
import { startBackends } from "./local-backends.ts";
import { replaceMarked } from "./marked.ts";
import { type Comparison, compareModel, faultsOf, isEqual, type Pair } from "./oracle-fit.ts";
import { ORACLE_MODELS } from "./oracle-shapes.ts";
import { openSandbox, type Sandbox } from "./sandbox.ts";
import { say } from "./say.ts";

const DOCUMENT = join(dirname(import.meta.dir), "docs", "performance.md");

/** Planned against seen, as the least and the most over all places and sizes of a row. */
function spread(pairs: readonly Pair[]): string {
  const ratios = pairs.filter(({ seen }) => seen > 0).map(({ planned, seen }) => planned / seen);
  if (ratios.length === 0) return "none";
  const format = (ratio: number) => ratio.toFixed(2);
  const [least, most] = [Math.min(...ratios), Math.max(...ratios)];
  return format(least) === format(most) ? format(least) : `${format(least)} to ${format(most)}`;
}

/** At how many places llama.cpp's whole MiB are those that were planned. */
function equals(pairs: readonly Pair[]): string {
  return `equal at ${pairs.filter(isEqual).length} of ${pairs.length}`;
}

/** A row for each model and number of devices. */
export function oracleTable(comparisons: readonly Comparison[]): string {
  const rows = Map.groupBy(comparisons, ({ model, size }) => `${model.name}, ${size.devices}`);
  return markdownTable(
    ["model", "class", "devices", "weights", "KV cache and states", "compute, devices", "compute, head node"],
    [...rows.values()].map((group) => [
      group[0]?.model.name ?? "",
      group[0]?.model.kind ?? "",
      group[0]?.size.devices ?? 0,
      equals(group.flatMap(({ places }) => places.map(({ weights }) => weights))),
      equals(group.flatMap(({ places }) => places.map(({ kv }) => kv))),
      spread(group.flatMap(({ places }) => places.slice(0, -1).map(({ compute }) => compute))),
      spread(group.flatMap(({ places }) => places.slice(-1).map(({ compute }) => compute))),
    ]),
  );
}

/** Compares every model at every size; takes ten seconds.
 *  @throws SynapticError `coordinator_failed` without llama-fit-params, or when it does not answer. */
export async function compareAll(sandbox: Sandbox): Promise<readonly Comparison[]> {
  const llama = await ensureLlama({ log: (line) => say(`llama: ${line}`), signal: sandbox.stopping });
  if (!llama.fitParams) {
    throw new SynapticError("coordinator_failed", "Cannot ask the oracle: no llama-fit-params beside llama-server", {
      hint: "`npm run llama` makes a private copy that has it",
    });
  }
  const backends = await startBackends(sandbox, llama.rpcServer, 3);
  const oracle = {
    fitParams: llama.fitParams,
    endpoints: backends.map(({ endpoint }) => endpoint),
    folder: sandbox.folder,
    signal: sandbox.stopping,
  };
  const all: Comparison[] = [];
  for (const model of ORACLE_MODELS) all.push(...(await compareModel(oracle, model)));
  return all;
}

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.find((arg) => arg !== "--write");
  if (unknown !== undefined)
    throw new SynapticError("usage", `Cannot use ${unknown}`, { hint: "npm run oracle [-- --write]" });
  await using sandbox = openSandbox("synaptic-oracle");
  const comparisons = await compareAll(sandbox);
  const table = oracleTable(comparisons);
  console.log(table);
  if (args.includes("--write")) {
    await Bun.write(DOCUMENT, replaceMarked(readFileSync(DOCUMENT, "utf8"), "oracle", table) ?? "");
    say("written: docs/performance.md");
  }
  const faults = comparisons.flatMap(faultsOf);
  faults.forEach(say);
  return faults.length === 0 ? 0 : 1;
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (thrown) {
    const error = fromUnknown(thrown);
    say(`oracle: ${describeError(error)}`);
    process.exitCode = exitCode(error);
  }
}
