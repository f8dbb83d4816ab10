/** Whose turn it is: round robin between keys, first come first served within one. Plain data. Pure. */

/** Those of one key that wait, the first come first. */
export interface Line {
  /** Null for all who came without a key. */
  readonly key: string | null;
  readonly tickets: readonly number[];
}

/** Lines with somebody in them; the first one has the next turn. */
export type FairQueue = readonly Line[];

export interface QueueBounds {
  /** The most that wait for one model. */
  readonly perModel: number;
  /** The most of one key among them, so that it cannot shut the others out. */
  readonly perKey: number;
}

export interface Joining {
  /** Of nobody else in the queue. */
  readonly ticket: number;
  readonly key: string | null;
  /** It was served before, by a coordinator that died: it has the next turn, full or not. */
  readonly again?: boolean;
}

export type JoinResult =
  | { readonly ok: true; readonly queue: FairQueue }
  /** Whose bound is reached, the model's or the key's. */
  | { readonly ok: false; readonly full: "model" | "key" };

/** Adds one at the end of its key's line; a key that had no line gets the last turn. */
export function joinQueue(queue: FairQueue, { ticket, key, again }: Joining, bounds: QueueBounds): JoinResult {
  const line = queue.find((each) => each.key === key);
  const tickets = line?.tickets ?? [];
  if (again) {
    return { ok: true, queue: [{ key, tickets: [ticket, ...tickets] }, ...queue.filter((each) => each !== line)] };
  }
  if (queueLength(queue) >= bounds.perModel) return { ok: false, full: "model" };
  // Without a key there is nobody to be told apart from, and only the model's bound counts.
  if (key !== null && tickets.length >= bounds.perKey) return { ok: false, full: "key" };
  const grown: Line = { key, tickets: [...tickets, ticket] };
  return { ok: true, queue: line ? queue.map((each) => (each === line ? grown : each)) : [...queue, grown] };
}

/** The one whose turn it is, and the queue without it: its key has the last turn now. Null when nobody waits. */
export function takeTurn(queue: FairQueue): { readonly ticket: number; readonly queue: FairQueue } | null {
  const [line, ...others] = queue;
  if (!line) return null;
  const [ticket, ...tickets] = line.tickets;
  if (ticket === undefined) return takeTurn(others);
  return { ticket, queue: tickets.length > 0 ? [...others, { key: line.key, tickets }] : others };
}

/** Without the one that has left; the others keep their order. */
export function leaveQueue(queue: FairQueue, ticket: number): FairQueue {
  const lines = queue.map((line) =>
    line.tickets.includes(ticket) ? { key: line.key, tickets: line.tickets.filter((other) => other !== ticket) } : line,
  );
  return lines.filter(({ tickets }) => tickets.length > 0);
}

export function queueLength(queue: FairQueue): number {
  return queue.reduce((sum, { tickets }) => sum + tickets.length, 0);
}

/** How many turns until this one's, its own included: 1 is the next. Null when it is not in the queue. */
export function positionOf(queue: FairQueue, ticket: number): number | null {
  const own = queue.findIndex(({ tickets }) => tickets.includes(ticket));
  const before = queue[own]?.tickets.indexOf(ticket);
  if (before === undefined) return null;
  // A line that has its turn before ours is served once more until then than one that comes after it.
  const ahead = queue.map(({ tickets }, index) => {
    if (index === own) return before;
    return Math.min(tickets.length, index < own ? before + 1 : before);
  });
  return ahead.reduce((sum, each) => sum + each, 1);
}
