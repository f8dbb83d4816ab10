/** Typed access to a model's metadata, whose keys start with its architecture. Pure. */
import type { GgufHeader, GgufValue } from "./gguf.ts";

export interface ModelKeys {
  readonly architecture: string;
  has(key: string): boolean;
  /** A whole number; of a per-layer array its largest item; null when absent or something else. */
  number(key: string): number | null;
  /** The value for one layer of a scalar or per-layer array. */
  forLayer(key: string, layer: number): number | null;
  /** A number for all layers, or one for each; null when absent or something else. */
  pattern(key: string): number | readonly number[] | null;
  /** A key in full, without the architecture. */
  value(key: string): GgufValue | undefined;
}

function isWhole(value: GgufValue | undefined): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}

function itemsOf(value: GgufValue | undefined): readonly number[] | null {
  return typeof value === "object" && value.items && value.items.every(isWhole) ? value.items : null;
}

export function modelKeys({ metadata }: GgufHeader, architecture: string): ModelKeys {
  const get = (key: string) => metadata.get(`${architecture}.${key}`);
  return {
    architecture,
    has: (key) => metadata.has(`${architecture}.${key}`),
    value: (key) => metadata.get(key),
    number(key) {
      const value = get(key);
      if (isWhole(value)) return value;
      const items = itemsOf(value);
      return items && items.length > 0 ? items.reduce((most, item) => Math.max(most, item)) : null;
    },
    pattern(key) {
      const value = get(key);
      return isWhole(value) ? value : itemsOf(value);
    },
    forLayer(key, layer) {
      const value = get(key);
      return isWhole(value) ? value : (itemsOf(value)?.[layer] ?? null);
    },
  };
}
