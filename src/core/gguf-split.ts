/** Split models: file names, what each part says of itself, and one header made of all parts. Pure. */
import type { GgufHeader, GgufValue } from "./gguf.ts";

/** `split.no` (from 0), `split.count` and `split.tensors.count` of one part. */
export interface SplitPart {
  readonly index: number;
  readonly count: number;
  readonly tensors: number;
}

/** gguf-split's `%s-%05d-of-%05d.gguf`, numbered from 1. */
const PART_NAME = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;
const MAX_PARTS = 1000;

export type PartNames =
  | { readonly ok: true; readonly names: readonly string[] }
  | { readonly ok: false; readonly reason: string };

function whole(value: GgufValue | undefined): number | null {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : null;
}

/** What the header says about being a part; null for a whole model. */
export function splitOf(header: GgufHeader): SplitPart | null {
  const count = whole(header.metadata.get("split.count")) ?? 0;
  if (count < 2) return null;
  return {
    count,
    index: whole(header.metadata.get("split.no")) ?? -1,
    tensors: whole(header.metadata.get("split.tensors.count")) ?? -1,
  };
}

/** The base name and number of a part's file name; null for any other name. */
export function partOf(
  fileName: string,
): { readonly base: string; readonly index: number; readonly count: number } | null {
  const match = PART_NAME.exec(fileName);
  if (!match) return null;
  return { base: match[1] ?? "", index: Number(match[2]) - 1, count: Number(match[3]) };
}

/** All parts' file names in order, from the name and header of any one of them. */
export function partNames(fileName: string, split: SplitPart): PartNames {
  const named = partOf(fileName);
  if (!named) {
    const expected = `expected a name such as NAME-${number(split.index)}-of-${number(split.count - 1)}.gguf`;
    return { ok: false, reason: `file is part ${split.index + 1} of ${split.count}, ${expected}` };
  }
  if (split.count > MAX_PARTS)
    return { ok: false, reason: `model has ${split.count} parts, at most ${MAX_PARTS} allowed` };
  if (named.count !== split.count || named.index !== split.index) {
    const says = `header says part ${split.index + 1} of ${split.count}`;
    return { ok: false, reason: `${says}, file name says part ${named.index + 1} of ${named.count}` };
  }
  const names = Array.from(
    { length: split.count },
    (_, i) => `${named.base}-${number(i)}-of-${number(split.count - 1)}.gguf`,
  );
  return { ok: true, names };
}

function number(index: number): string {
  return String(index + 1).padStart(5, "0");
}

export type MergeResult =
  | { readonly ok: true; readonly header: GgufHeader }
  | { readonly ok: false; readonly reason: string };

/** One header of all parts in order: the first part's metadata, everybody's tensors, the sum of the bytes. */
export function mergeParts(headers: readonly GgufHeader[]): MergeResult {
  const [first] = headers;
  if (!first) return { ok: false, reason: "model has no parts" };
  const announced = splitOf(first)?.tensors ?? first.tensors.length;
  for (const [i, header] of headers.entries()) {
    const split = splitOf(header);
    if (headers.length > 1 && (split?.index !== i || split.count !== headers.length)) {
      return { ok: false, reason: `part ${i + 1} of ${headers.length} does not say so in its header` };
    }
  }
  const tensors = headers.flatMap((header) => header.tensors);
  if (tensors.length !== announced) {
    return { ok: false, reason: `parts hold ${tensors.length} tensors together, the first announces ${announced}` };
  }
  const names = new Set(tensors.map((tensor) => tensor.name));
  if (names.size !== tensors.length) return { ok: false, reason: "a tensor lies in two parts" };
  const fileBytes = headers.reduce((sum, header) => sum + header.fileBytes, 0);
  return { ok: true, header: { version: first.version, metadata: first.metadata, tensors, fileBytes } };
}
