/** Command line: writes a reciting model. `bun scripts/models.ts --layers 24 --type F16 --out FILE [--damage N]` */
import { parseArgs } from "node:util";
import { describeError, exitCode, fromUnknown, SynapticError } from "../src/core/errors.ts";
import type { WeightType } from "../src/core/gguf-encode.ts";
import { formatBytes } from "../src/core/units.ts";
import { writeRecitingModel } from "./recite.ts";

const USAGE =
  "bun scripts/models.ts --layers N --type F32|F16|Q8_0 --out FILE [--width N] [--kv-heads N] [--context N] [--damage LAYER]";

function whole(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new SynapticError("usage", `Cannot read --${name}: expected a whole number, found "${text}"`, { hint: USAGE });
}

function weightType(text: string): WeightType {
  if (text === "F32" || text === "F16" || text === "Q8_0") return text;
  throw new SynapticError("usage", `Cannot read --type: expected F32, F16 or Q8_0, found "${text}"`, { hint: USAGE });
}

function readOptions(args: readonly string[]) {
  const text = { type: "string" } as const;
  const options = { layers: text, type: text, out: text, width: text, "kv-heads": text, context: text, damage: text };
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    throw new SynapticError("usage", `Cannot read the arguments: ${detail}`, { hint: USAGE, cause });
  }
}

/**
 * Writes the model that the arguments describe and says where it lies.
 * @throws SynapticError `usage`
 */
export async function runModels(args: readonly string[]): Promise<string> {
  const values = readOptions(args);
  if (!values.out) throw new SynapticError("usage", "Cannot write a model: --out is missing", { hint: USAGE });
  const width = whole("width", values.width);
  const kvHeads = whole("kv-heads", values["kv-heads"]);
  const contextLength = whole("context", values.context);
  const damagedLayer = whole("damage", values.damage);
  const bytes = await writeRecitingModel({
    path: values.out,
    layers: whole("layers", values.layers) ?? 24,
    type: weightType(values.type ?? "F16"),
    ...(width === undefined ? {} : { width }),
    ...(kvHeads === undefined ? {} : { kvHeads }),
    ...(contextLength === undefined ? {} : { contextLength }),
    ...(damagedLayer === undefined ? {} : { damagedLayer }),
  });
  return `${values.out}: ${formatBytes(bytes)}`;
}

if (import.meta.main) {
  try {
    console.log(await runModels(process.argv.slice(2)));
  } catch (thrown) {
    const error = fromUnknown(thrown);
    console.error(describeError(error));
    process.exitCode = exitCode(error);
  }
}
