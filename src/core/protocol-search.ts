/** Which RPC protocol a llama-server speaks, found by offering it versions and watching what it accepts. Pure. */

export interface ProtocolVersion {
  readonly major: number;
  readonly minor: number;
}

/** One offer and its fate. A client accepts when the major is its own and the minor is not newer (facts/llamacpp.md b2). */
export interface Trial {
  readonly offered: ProtocolVersion;
  readonly accepted: boolean;
}

export type SearchStep =
  | { readonly tag: "offer"; readonly version: ProtocolVersion }
  | { readonly tag: "found"; readonly version: ProtocolVersion }
  | { readonly tag: "unknown" };

/** The major of llama.cpp 0.7.0, so two offers are enough for it: 8.0 is accepted, 8.1 is not. */
const FIRST_MAJOR = 8;
const LAST_MAJOR = 20;
const LAST_MINOR = 30;

/** 8, 7, 9, 6, 10 ... within 1..20: outward from the one that is likely. */
function majorsByDistance(): readonly number[] {
  const all = Array.from({ length: LAST_MAJOR }, (_, index) => index + 1);
  return all.sort((a, b) => Math.abs(a - FIRST_MAJOR) - Math.abs(b - FIRST_MAJOR) || a - b);
}

/** What to offer next after these trials: first the major is found, then its minor by going up to the first refusal. */
export function nextOffer(trials: readonly Trial[]): SearchStep {
  const best = trials.filter((trial) => trial.accepted).at(-1)?.offered;
  if (!best) {
    const refused = new Set(trials.map((trial) => trial.offered.major));
    const major = majorsByDistance().find((candidate) => !refused.has(candidate));
    return major === undefined ? { tag: "unknown" } : { tag: "offer", version: { major, minor: 0 } };
  }
  const done = best.minor >= LAST_MINOR || trials.at(-1)?.accepted === false;
  return done ? { tag: "found", version: best } : { tag: "offer", version: { ...best, minor: best.minor + 1 } };
}

export type ClientTurn =
  | { readonly tag: "wait" }
  | { readonly tag: "reply"; readonly bytes: Uint8Array }
  | { readonly tag: "accepted" }
  | { readonly tag: "alien" };

const HELLO = 0x0e;
const FRAME_HEAD = 9;
/** HELLO carries 24 bytes of capabilities since protocol 6, nothing before (facts/llamacpp.md b1, b2). */
const CAPS_BYTES = 24;

/** What to do once the client under test has sent these bytes: answer its HELLO with `offered`, or read the verdict. */
export function answerClient(received: Uint8Array, offered: ProtocolVersion): ClientTurn {
  if (received.length === 0) return { tag: "wait" };
  if (received[0] !== HELLO) return { tag: "alien" };
  if (received.length < FRAME_HEAD) return { tag: "wait" };
  const size = new DataView(received.buffer, received.byteOffset).getBigUint64(1, true);
  if (size !== 0n && size !== BigInt(CAPS_BYTES)) return { tag: "alien" };
  const helloEnd = FRAME_HEAD + Number(size);
  if (received.length < helloEnd) return { tag: "wait" };
  // It goes on to its next command only when it takes our version for compatible.
  if (received.length > helloEnd) return { tag: "accepted" };
  return { tag: "reply", bytes: helloReply(offered, size === 0n) };
}

/** `u64 size | major minor patch [pad caps]`; no capability is offered, so the client stays on TCP. */
function helloReply(version: ProtocolVersion, withoutCaps: boolean): Uint8Array {
  const size = withoutCaps ? 3 : 4 + CAPS_BYTES;
  const bytes = new Uint8Array(8 + size);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(size), true);
  bytes.set([version.major, version.minor, 0], 8);
  return bytes;
}
