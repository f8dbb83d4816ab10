/** Bytes, durations and host:port, as people read and write them. Pure. */

export const KIB = 1024;
export const MIB = 1024 ** 2;
export const GIB = 1024 ** 3;

const SIZE_UNITS: readonly (readonly [string, number])[] = [
  ["TiB", 1024 ** 4],
  ["GiB", GIB],
  ["MiB", MIB],
  ["KiB", KIB],
];

/** `43.2 GiB`, `10.0 MiB`, `512 B`: one decimal, binary units. */
export function formatBytes(bytes: number): string {
  for (const [unit, size] of SIZE_UNITS) {
    // What one decimal rounds up to 1024.0 of the next smaller unit belongs here already.
    if (Math.abs(bytes) >= size * (1 - 0.05 / KIB)) return `${(bytes / size).toFixed(1)} ${unit}`;
  }
  return `${Math.round(bytes)} B`;
}

/** What is missing, in GiB as owners count memory, rounded up; in smaller units below a tenth of one. */
export function formatMissing(bytes: number): string {
  const tenths = Math.ceil((bytes * 10) / GIB);
  return bytes < GIB / 10 ? formatBytes(bytes) : `${(tenths / 10).toFixed(1)} GiB`;
}

/** `850 ms`, `12.3 s`, `4 min 05 s`. */
export function formatDuration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
}

const SIZE_PATTERN = /^(\d+(?:\.\d+)?)\s*(?:([kmgt])i?b?|b)?$/i;
const SIZE_FACTORS: Readonly<Record<string, number>> = { k: KIB, m: MIB, g: GIB, t: 1024 ** 4 };

/** Reads `12GiB`, `12 GB`, `12g` (all binary) or a plain number of bytes; null when it is none of these. */
export function parseBytes(text: string): number | null {
  const match = SIZE_PATTERN.exec(text.trim());
  if (!match?.[1]) return null;
  const factor = match[2] ? (SIZE_FACTORS[match[2].toLowerCase()] ?? 1) : 1;
  return Math.round(Number(match[1]) * factor);
}

/** `host:port` of an IPv4 address or a name: what llama.cpp's `--rpc` takes (it splits at the first colon, so no IPv6). */
export type Endpoint = `${string}:${number}`;

/** `host:port`. */
export function formatEndpoint(host: string, port: number): Endpoint {
  return `${host}:${port}`;
}

/** Host and port again. */
export function splitEndpoint(endpoint: Endpoint): { readonly host: string; readonly port: number } {
  const at = endpoint.lastIndexOf(":");
  return { host: endpoint.slice(0, at), port: Number(endpoint.slice(at + 1)) };
}
