/** What memory may be used: margins by kind of device, and what is shared on one machine. Pure. */
import { HEAD_MACHINE } from "./health.ts";
import type { BackendFacts, DeviceFacts, DeviceKind, HeadFacts, Held, LocalDevice } from "./plan-types.ts";
import { GIB, MIB } from "./units.ts";

interface Margin {
  readonly share: number;
  readonly mostBytes: number;
}

/** Kept free on each device. An accelerator reports what is really free, so 1 GiB covers what else comes: llama.cpp's own
 *  `--fit-target`; 5 % where the card is small. A CPU device reports free = total (facts/llamacpp.md b5), so the system
 *  and what runs there is not out yet: a desktop takes 2 to 4 GiB, a small server a tenth. */
const MARGINS: Readonly<Record<DeviceKind, Margin>> = {
  accelerator: { share: 0.05, mostBytes: GIB },
  cpu: { share: 0.1, mostBytes: 4 * GIB },
};

function lessMargin(bytes: number, { share, mostBytes }: Margin): number {
  const free = Math.max(0, bytes);
  return Math.floor(free - Math.min(mostBytes, free * share));
}

export interface MemorySources {
  readonly head?: HeadFacts;
  readonly held?: readonly Held[];
}

/** RAM of machines, less what others hold there and, on the head node, less what of this model stays there. */
export class Memory {
  readonly #held = new Map<string, number>();
  readonly #head: HeadFacts | undefined;
  /** Of this model, whatever the placement. */
  readonly staysBytes: number;

  constructor({ head, held = [] }: MemorySources, staysBytes: number) {
    for (const { machine, ramBytes } of held) this.#held.set(machine, (this.#held.get(machine) ?? 0) + ramBytes);
    this.#head = head;
    this.staysBytes = staysBytes;
  }

  /** What the head node has for this model in all; null when unknown. What the kernel calls available needs no margin for
   *  the system, but some for what else grows: as an accelerator's. */
  get headBytes(): number | null {
    if (!this.#head) return null;
    const { freeBytes, totalBytes } = this.#head;
    const total = lessMargin(totalBytes - (this.#held.get(HEAD_MACHINE) ?? 0), MARGINS.cpu);
    return Math.min(total, lessMargin(freeBytes, MARGINS.accelerator));
  }

  /** What layers may take of a device, were it alone on its machine. */
  usable({ kind, freeBytes }: Pick<DeviceFacts, "kind" | "freeBytes">, machine: string | undefined): number {
    if (kind === "accelerator") return lessMargin(freeBytes, MARGINS.accelerator);
    const ram = lessMargin(freeBytes - (this.#held.get(machine ?? "") ?? 0), MARGINS.cpu);
    if (machine !== HEAD_MACHINE) return ram;
    return Math.max(0, Math.min(ram, this.headBytes ?? ram) - this.staysBytes);
  }
}

/** Which memory each device of a backend draws on: CPU devices of one machine have one, and so have accelerators of the
 *  same total that different rpc-servers there report, unless the owner says they are two. Null: nobody else's. */
export function poolsOf({ machine, devices, ownDevice }: BackendFacts): readonly (string | null)[] {
  if (machine === undefined) return devices.map(() => null);
  const cards = cardNames(machine, devices);
  return devices.map(({ kind }, index) => {
    if (kind === "cpu") return `${machine} RAM`;
    return ownDevice ? null : (cards[index] ?? null);
  });
}

/** The same for the head node's own devices. */
export function localPools(devices: readonly LocalDevice[]): readonly string[] {
  return cardNames(HEAD_MACHINE, devices);
}

/** The n-th card of a size: several of one size in one program are several. In MiB, since `--list-devices` gives no more. */
function cardNames(machine: string, devices: readonly { readonly totalBytes: number }[]): readonly string[] {
  const seen = new Map<number, number>();
  return devices.map(({ totalBytes }) => {
    const size = Math.floor(totalBytes / MIB);
    const count = (seen.get(size) ?? 0) + 1;
    seen.set(size, count);
    return `${machine} ${size} MiB card ${count}`;
  });
}

export interface Claim {
  readonly pool: string | null;
  /** Alone, by what the device reports. */
  readonly usableBytes: number;
  /** By the owner's limit. */
  readonly mostBytes: number;
}

/** Shares each pool's memory evenly among its claims; what one may not take goes to the others. */
export function settleClaims(claims: readonly Claim[]): readonly number[] {
  const settled = claims.map(({ usableBytes, mostBytes }) => Math.min(usableBytes, mostBytes));
  const members = new Map<string, number[]>();
  for (const [index, { pool }] of claims.entries()) {
    if (pool === null) continue;
    const list = members.get(pool);
    if (list) list.push(index);
    else members.set(pool, [index]);
  }
  for (const list of members.values()) {
    if (list.length < 2) continue;
    let rest = Math.min(...list.map((index) => claims[index]?.usableBytes ?? 0));
    let left = list.length;
    for (const index of list.toSorted((a, b) => (settled[a] ?? 0) - (settled[b] ?? 0))) {
      const share = Math.min(settled[index] ?? 0, Math.floor(rest / left));
      settled[index] = share;
      rest -= share;
      left--;
    }
  }
  return settled;
}
