/** Medians, 99th percentiles, and Markdown tables of them. Pure. */

export interface Spread {
  readonly median: number;
  readonly p99: number;
  readonly count: number;
}

/** The value below which this fraction of the samples lies (nearest rank); NaN without samples. */
export function quantile(samples: readonly number[], fraction: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)] ?? Number.NaN;
}

export function spreadOf(samples: readonly number[]): Spread {
  return { median: quantile(samples, 0.5), p99: quantile(samples, 0.99), count: samples.length };
}

/** `0.084`, `1.52`, `43.1`, `210`: three significant digits are what such a measurement carries. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (value === 0) return "0";
  const digits = Math.max(0, Math.min(3, 2 - Math.floor(Math.log10(Math.abs(value)))));
  return value.toFixed(digits);
}

export function markdownTable(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const numeric = header.map((_, column) => rows.every((row) => /^[-+]?[\d.]+$|^-$/.test(String(row[column] ?? "-"))));
  const line = (cells: readonly (string | number)[]): string => `| ${cells.join(" | ")} |`;
  return [line(header), line(numeric.map((is) => (is ? "---:" : "---"))), ...rows.map(line)].join("\n");
}

/** What the way through synaptic adds to the direct way, as two columns. */
export function addedCells(direct: Spread, through: Spread): readonly string[] {
  return [
    `${formatNumber(direct.median)} / ${formatNumber(direct.p99)}`,
    `${formatNumber(through.median)} / ${formatNumber(through.p99)}`,
    signed(through.median - direct.median),
    signed(through.p99 - direct.p99),
  ];
}

function signed(value: number): string {
  return `${value > 0 ? "+" : ""}${formatNumber(value)}`;
}
