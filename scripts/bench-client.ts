/** A streaming client that costs next to nothing: raw TCP, and the time of each event's arrival. */
import type { Socket } from "bun";
import { SynapticError } from "../src/core/errors.ts";

/** Who is asked: synaptic, or the llama-server behind it. */
export interface Target {
  readonly port: number;
  readonly apiKey: string | null;
}

export interface StreamTimes {
  /** From the request, written to an open connection, to the first event with data. */
  readonly firstEventMs: number;
  /** From one event to the next; the last, `[DONE]`, left out. */
  readonly gapsMs: readonly number[];
  /** From the sender's time stamp to the arrival; empty when the sender sets none. */
  readonly latenciesMs: readonly number[];
}

const DEADLINE_MS = 60_000;

/** Wall clock with the resolution of a monotonic one: comparable between processes of one machine. */
export function preciseNow(): number {
  return performance.timeOrigin + performance.now();
}

interface Arrivals {
  text: string;
  readonly times: number[];
  readonly stamps: number[];
}

/**
 * Posts a chat completion with `stream` and reads it to its `[DONE]`.
 * @throws SynapticError `upstream_error` when the answer is no 200, or ends before that.
 */
export async function timeStream(target: Target, body: Readonly<Record<string, unknown>>): Promise<StreamTimes> {
  const arrivals: Arrivals = { text: "", times: [], stamps: [] };
  const done = Promise.withResolvers<void>();
  const failed = (why: string): void => {
    done.reject(new SynapticError("upstream_error", `Cannot measure a stream: ${why}: ${arrivals.text.slice(0, 300)}`));
  };
  const timer = setTimeout(() => failed("it takes too long"), DEADLINE_MS);
  const socket: Socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: target.port,
    socket: {
      data(_, bytes) {
        const end = take(arrivals, new TextDecoder("latin1").decode(bytes), preciseNow());
        if (end === "done") done.resolve();
        if (end === "refused") failed("it was refused");
      },
      close: () => failed("it broke off"),
      error: (_, error) => failed(error.message),
    },
  });
  socket.setNoDelay(true);
  const sent = preciseNow();
  socket.write(requestOf(target, { ...body, stream: true }));
  try {
    await done.promise;
  } finally {
    clearTimeout(timer);
    socket.terminate();
  }
  return summarise(arrivals, sent);
}

function requestOf({ port, apiKey }: Target, body: unknown): string {
  const text = JSON.stringify(body);
  const lines = [
    "POST /v1/chat/completions HTTP/1.1",
    `host: 127.0.0.1:${port}`,
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(text)}`,
    ...(apiKey === null ? [] : [`authorization: Bearer ${apiKey}`]),
  ];
  return `${lines.join("\r\n")}\r\n\r\n${text}`;
}

/** Takes what came in; an event may come in two pieces. */
function take(arrivals: Arrivals, piece: string, now: number): "more" | "done" | "refused" {
  arrivals.text += piece;
  if (arrivals.text.startsWith("HTTP/1.1 ") && !arrivals.text.startsWith("HTTP/1.1 200")) return "refused";
  for (;;) {
    const end = arrivals.text.indexOf("\n\n");
    if (end < 0) return "more";
    const event = arrivals.text.slice(0, end);
    arrivals.text = arrivals.text.slice(end + 2);
    if (event.includes("data: [DONE]")) return "done";
    if (!event.includes("data: {")) continue;
    arrivals.times.push(now);
    const stamp = /"stamp":([\d.]+)/.exec(event)?.[1];
    if (stamp !== undefined) arrivals.stamps.push(Number(stamp));
  }
}

function summarise({ times, stamps }: Arrivals, sent: number): StreamTimes {
  return {
    firstEventMs: (times[0] ?? Number.NaN) - sent,
    gapsMs: times.slice(1).map((time, index) => time - (times[index] ?? time)),
    latenciesMs: stamps.map((stamp, index) => (times[index] ?? Number.NaN) - stamp),
  };
}
