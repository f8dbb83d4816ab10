/** What went out of one stream: whole events only, kept by reference until somebody has to read them. Pure. */

/** At about 230 bytes an event, some 18 000 tokens. */
const MAX_KEPT_BYTES = 4 * 1024 ** 2;
/** No event of a text is so long. */
const MAX_HELD_BYTES = 1024 ** 2;

const DONE = /^data: ?\[DONE\]\s*$/;
const NOTHING = new Uint8Array(0);

export interface SentEvents {
  /** The bytes of this chunk, and of those before it, that may go out: whole events. Mostly the chunk itself. */
  pass(chunk: Uint8Array): Uint8Array;
  /** At the upstream's proper end: a `[DONE]` that has no empty line behind it. */
  rest(): Uint8Array;
  /** The upstream has gone, and its half event with it. */
  breakOff(): void;
  /** All that may have gone out; null when it is too much to go on from. */
  chunks(): readonly Uint8Array[] | null;
}

/** Half an event waits for its other half: the client of a stream that breaks there can be given a whole one instead. */
export function createSentEvents(): SentEvents {
  let kept: Uint8Array[] | null = [];
  let keptBytes = 0;
  let held: Uint8Array = NOTHING;
  const keep = (bytes: Uint8Array): Uint8Array => {
    if (kept === null || bytes.length === 0) return bytes;
    keptBytes += bytes.length;
    if (keptBytes <= MAX_KEPT_BYTES) kept.push(bytes);
    else kept = null;
    return bytes;
  };
  return {
    pass(chunk) {
      const bytes = held.length === 0 ? chunk : joined(held, chunk);
      held = NOTHING;
      if (kept === null) return bytes;
      const end = endOfEvents(bytes);
      if (end === bytes.length) return keep(bytes);
      if (bytes.length - end > MAX_HELD_BYTES) {
        kept = null;
        return bytes;
      }
      // A copy: the chunk need not stay for the sake of its last bytes.
      held = bytes.slice(end);
      return keep(bytes.subarray(0, end));
    },
    rest() {
      const bytes = DONE.test(new TextDecoder().decode(held)) ? held : NOTHING;
      held = NOTHING;
      return keep(bytes);
    },
    breakOff() {
      held = NOTHING;
    },
    chunks: () => kept,
  };
}

/** Of a request that will not go on: everything passes as it comes, and nothing is kept. */
export const UNKEPT: SentEvents = { pass: (chunk) => chunk, rest: () => NOTHING, breakOff() {}, chunks: () => null };

const LINE_FEED = 10;
const RETURN = 13;

/** Behind the last empty line; 0 when there is none. For most chunks a look at their last two bytes. */
function endOfEvents(bytes: Uint8Array): number {
  for (let at = bytes.length - 1; at > 0; at--) {
    if (bytes[at] !== LINE_FEED) continue;
    if (bytes[at - 1] === LINE_FEED || (bytes[at - 1] === RETURN && bytes[at - 2] === LINE_FEED)) return at + 1;
  }
  return 0;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}
