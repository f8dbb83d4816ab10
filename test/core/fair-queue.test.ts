/** The queue loses nobody, serves nobody twice, stays within its bounds and is fair: told by many random lives of it. */
import { describe, expect, test } from "bun:test";
import {
  type FairQueue,
  type Joining,
  joinQueue,
  leaveQueue,
  positionOf,
  type QueueBounds,
  queueLength,
  takeTurn,
} from "../../src/core/fair-queue.ts";
import { createRandom, type Random } from "../fixtures/random.ts";

const WIDE: QueueBounds = { perModel: 1_000, perKey: 1_000 };

function joined(queue: FairQueue, joining: Joining, bounds = WIDE): FairQueue {
  const result = joinQueue(queue, joining, bounds);
  if (!result.ok) throw new Error(`full: ${result.full}`);
  return result.queue;
}

/** Such as `a1 a2 b3`: key and ticket; `-4` has no key. */
function queueOf(words: string): FairQueue {
  return words
    .split(" ")
    .map((word) => ({ key: word.startsWith("-") ? null : (word[0] ?? null), ticket: Number(word.slice(1)) }))
    .reduce<FairQueue>((queue, joining) => joined(queue, joining), []);
}

/** One of these keys; `-` is none. */
function pickKey(random: Random, ...keys: readonly [string, ...string[]]): string | null {
  const key = random.pick(keys);
  return key === "-" ? null : key;
}

/** All tickets in the order of their turns. */
function turns(queue: FairQueue): readonly number[] {
  const order: number[] = [];
  for (let turn = takeTurn(queue); turn; turn = takeTurn(turn.queue)) order.push(turn.ticket);
  return order;
}

describe("takeTurn()", () => {
  test("serves one key in the order of coming", () => {
    expect(turns(queueOf("a1 a2 a3"))).toEqual([1, 2, 3]);
  });

  test("serves keys in turn, whoever came first within each; those without a key are one of them", () => {
    expect(turns(queueOf("a1 a2 a3 -4 -5 b6"))).toEqual([1, 4, 6, 2, 5, 3]);
  });

  test("gives a key that comes again the last turn", () => {
    const first = takeTurn(queueOf("a1 b2 b3"));
    expect(turns(joined(first?.queue ?? [], { ticket: 4, key: "a" }))).toEqual([2, 4, 3]);
  });

  test("serves one who had a slot before first, however many wait", () => {
    const full = { perModel: 3, perKey: 2 };
    const queue = joined(queueOf("a1 a2 b3"), { ticket: 9, key: "b", again: true }, full);
    expect(turns(queue)).toEqual([9, 1, 3, 2]);
  });

  test("serves nobody of an empty queue", () => {
    expect(takeTurn([])).toBeNull();
  });
});

describe("joinQueue()", () => {
  test("refuses beyond the model's bound", () => {
    const bounds = { perModel: 3, perKey: 3 };
    expect(joinQueue(queueOf("a1 b2 -3"), { ticket: 4, key: "c" }, bounds)).toEqual({ ok: false, full: "model" });
  });

  test("refuses a key beyond its own bound, and lets another one in", () => {
    const bounds = { perModel: 10, perKey: 2 };
    const queue = queueOf("a1 a2");
    expect(joinQueue(queue, { ticket: 3, key: "a" }, bounds)).toEqual({ ok: false, full: "key" });
    expect(joinQueue(queue, { ticket: 3, key: "b" }, bounds)).toMatchObject({ ok: true });
  });

  test("bounds those without a key by the model only", () => {
    expect(joinQueue(queueOf("-1 -2"), { ticket: 3, key: null }, { perModel: 3, perKey: 1 })).toMatchObject({
      ok: true,
    });
  });
});

test("positionOf() knows nothing of who is not there", () => {
  expect(positionOf(queueOf("a1 b2"), 3)).toBeNull();
});

/** A life of a queue: who has joined, left, been served, and been refused. */
class QueueLife {
  queue: FairQueue = [];
  readonly waiting = new Map<number, string | null>();
  readonly served: number[] = [];
  readonly left: number[] = [];
  refused = 0;
  tickets = 0;
  readonly random: Random;
  readonly bounds: QueueBounds;

  constructor(random: Random) {
    this.random = random;
    this.bounds = { perModel: random.whole(1, 40), perKey: random.whole(1, 20) };
  }

  step(): void {
    const chance = this.random.next();
    if (chance < 0.55) this.join();
    else if (chance < 0.9) this.serve();
    else this.leave();
  }

  join(): void {
    const key = pickKey(this.random, "a", "a", "a", "a", "b", "c", "-");
    const ticket = ++this.tickets;
    const result = joinQueue(this.queue, { ticket, key, again: this.random.next() < 0.02 }, this.bounds);
    if (!result.ok) {
      this.refused++;
      return;
    }
    this.queue = result.queue;
    this.waiting.set(ticket, key);
  }

  serve(): void {
    const turn = takeTurn(this.queue);
    if (!turn) return;
    this.queue = turn.queue;
    this.served.push(turn.ticket);
    if (!this.waiting.delete(turn.ticket)) throw new Error(`${turn.ticket} was served, but did not wait`);
  }

  leave(): void {
    const [ticket] = [...this.waiting.keys()].toSorted(() => this.random.next() - 0.5);
    if (ticket === undefined) return;
    this.queue = leaveQueue(this.queue, ticket);
    this.waiting.delete(ticket);
    this.left.push(ticket);
  }
}

const LIVES = 300;
const STEPS = 150;

function live(look: (life: QueueLife) => void): void {
  let refused = 0;
  for (let seed = 1; seed <= LIVES; seed++) {
    const life = new QueueLife(createRandom(seed));
    for (let step = 0; step < STEPS; step++) {
      life.step();
      look(life);
    }
    refused += life.refused;
  }
  // A law that was never put to the test proves nothing.
  expect(refused).toBeGreaterThan(LIVES);
}

describe("in every life of a queue", () => {
  test("nobody is lost, and nobody has two places", () => {
    live(({ queue, waiting, served, left, tickets, refused }) => {
      const there = queue.flatMap((line) => line.tickets);
      expect(there.toSorted()).toEqual([...waiting.keys()].toSorted());
      expect(new Set(there).size).toBe(there.length);
      expect(new Set([...served, ...left, ...there]).size + refused).toBe(tickets);
    });
  });

  test("each key has one line, and no line is empty", () => {
    live(({ queue }) => {
      expect(new Set(queue.map(({ key }) => key)).size).toBe(queue.length);
      expect(queue.every(({ tickets }) => tickets.length > 0)).toBe(true);
    });
  });

  test("a position is the number of turns until it comes", () => {
    live(({ queue }) => {
      const order = turns(queue);
      expect(order.map((ticket) => positionOf(queue, ticket))).toEqual(order.map((_, index) => index + 1));
      expect(order).toHaveLength(queueLength(queue));
    });
  });

  test("no bound is passed, but by those who had a slot before", () => {
    for (let seed = 1; seed <= LIVES; seed++) {
      const random = createRandom(seed);
      const bounds = { perModel: random.whole(1, 30), perKey: random.whole(1, 10) };
      let queue: FairQueue = [];
      for (let ticket = 0; ticket < 100; ticket++) {
        const result = joinQueue(queue, { ticket, key: pickKey(random, "a", "b", "c", "-") }, bounds);
        if (result.ok) queue = result.queue;
      }
      expect(queueLength(queue)).toBeLessThanOrEqual(bounds.perModel);
      for (const { key, tickets } of queue) {
        if (key !== null) expect(tickets.length).toBeLessThanOrEqual(bounds.perKey);
      }
    }
  });

  test("the first of a key waits for one turn of each other key at most, however many those have", () => {
    for (let seed = 1; seed <= LIVES; seed++) {
      const random = createRandom(seed);
      let queue: FairQueue = [];
      for (let ticket = 0; ticket < 100; ticket++) {
        queue = joined(queue, { ticket, key: pickKey(random, "a", "a", "a", "b", "c", "-") });
        if (random.next() < 0.3) queue = takeTurn(queue)?.queue ?? queue;
      }
      const others = queue.length;
      const late = joined(queue, { ticket: 1_000, key: "late" });
      expect(positionOf(late, 1_000)).toBe(others + 1);
      // Whoever joins behind it does not push it back.
      let pushed = late;
      for (let ticket = 2_000; ticket < 2_050; ticket++) {
        pushed = joined(pushed, { ticket, key: pickKey(random, "a", "b", "d", "-") });
      }
      expect(positionOf(pushed, 1_000)).toBe(others + 1);
    }
  });
});
