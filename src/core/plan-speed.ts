/** How fast devices generate: as measured, else by their kind; and what a token takes over a placement. Pure. */
import type { LayerCosts } from "./plan-cost.ts";
import type { BackendFacts, DeviceKind, HeadFacts, LocalDevice } from "./plan-types.ts";
import { median } from "./timing.ts";

/** Bytes of weights per second of what was not measured. Generating reads each weight once per token, so that memory sets
 *  the pace. Accelerators people share models over: 150 GB/s (Apple Pro) to 1,000 GB/s (a large card), the lower part of
 *  which is left over a network. CPU: two channels of DDR4-3200 have 51 GB/s, of which generating gets less than half. */
const NOMINAL: Readonly<Record<DeviceKind, number>> = { accelerator: 200e9, cpu: 20e9 };

/** Speeds within this factor count as equal: two measurements of one machine differ by as much when it does other work. */
export const EQUAL_SPEED = 1.5;

/** Between an accelerator and a CPU of which one was not measured: the CPU is never taken for as fast. */
const KIND_GAP = 2;

/** Rates of unmeasured devices, in bytes per second. */
export type Rates = Readonly<Record<DeviceKind, number>>;

export function isAccelerated({ devices }: Pick<BackendFacts, "devices">): boolean {
  return devices.some((device) => device.kind === "accelerator");
}

/** As those of the kind that were measured, else nominal; but moved so that an accelerator comes before any CPU unless both
 *  were measured. */
export function ratesOf(backends: readonly BackendFacts[], headCpu: number | null): Rates {
  const measured: Readonly<Record<DeviceKind, number[]>> = { accelerator: [], cpu: [] };
  for (const backend of backends) {
    if (backend.speed) measured[isAccelerated(backend) ? "accelerator" : "cpu"].push(backend.speed.bytesPerSecond);
  }
  const typical = (kind: DeviceKind) => median(measured[kind]) ?? NOMINAL[kind];
  const fastestCpu = Math.max(headCpu ?? 0, ...measured.cpu);
  const accelerator = Math.max(typical("accelerator"), fastestCpu * KIND_GAP);
  const slowestAccelerator = Math.min(accelerator, ...measured.accelerator);
  return { accelerator, cpu: Math.min(typical("cpu"), slowestAccelerator / KIND_GAP) };
}

/** Measured speed of the head node's own CPU: what was measured there is its own devices' where it has some. */
export function headCpuSpeed(head: HeadFacts | undefined, localDevices: readonly LocalDevice[]): number | null {
  return localDevices.length === 0 ? (head?.speed?.bytesPerSecond ?? null) : null;
}

/** The number of each speed's class, 0 for the fastest: a class ends where speeds fall below its first by EQUAL_SPEED. */
export function speedClasses(speeds: readonly number[]): readonly number[] {
  const classes = new Map<number, number>();
  let current = -1;
  let first = Number.POSITIVE_INFINITY;
  for (const speed of [...new Set(speeds)].sort((a, b) => b - a)) {
    if (current < 0 || speed * EQUAL_SPEED < first) {
      current++;
      first = speed;
    }
    classes.set(speed, current);
  }
  return speeds.map((speed) => classes.get(speed) ?? 0);
}

interface Timed {
  readonly backends: readonly { readonly facts: BackendFacts }[];
  readonly slots: readonly { readonly backend: number; readonly bytesPerSecond: number }[];
  readonly counts: readonly number[];
}

/** Estimated seconds per token of one stream: each device reads its layers in turn, and each backend is a hop. */
export function secondsPerToken({ backends, slots, counts }: Timed, costs: LayerCosts): number {
  const holding = new Set<number>();
  let seconds = 0;
  let from = 0;
  for (const [index, { backend, bytesPerSecond }] of slots.entries()) {
    const to = from + (counts[index] ?? 0);
    seconds += costs.readBytes(from, to) / bytesPerSecond;
    if (to > from) holding.add(backend);
    from = to;
  }
  for (const [position, { facts }] of backends.entries()) {
    if (holding.has(position)) seconds += (facts.rttMs ?? 0) / 1000;
  }
  return seconds;
}
