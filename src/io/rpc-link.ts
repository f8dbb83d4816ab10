/** One TCP connection to an RPC port: name lookup, connect and replies under one deadline, every close an RST. */
import { lookup } from "node:dns/promises";
import { createConnection, isIPv4, type Socket } from "node:net";
import { decodeReply } from "../core/rpc.ts";

/** Ends when its time is over or its owner gives up, whichever comes first. */
export interface Gate extends Disposable {
  readonly signal: AbortSignal;
  /** Why it ended; asked only after `signal` fired. */
  ended(): { readonly tag: "deadline" } | { readonly tag: "cancelled" };
}

/** Opens a gate of `timeoutMs` that also closes with the caller's signal; dispose it to stop its timer. */
export function openGate(timeoutMs: number, signal: AbortSignal): Gate {
  const controller = new AbortController();
  const end = () => controller.abort();
  const timer = setTimeout(end, timeoutMs);
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  return {
    signal: controller.signal,
    ended: () => ({ tag: signal.aborted ? "cancelled" : "deadline" }),
    [Symbol.dispose]() {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
    },
  };
}

type GateEnd = ReturnType<Gate["ended"]>;

/** Runs `end` once the gate closes, at once when it has; what it returns takes that back. */
function onGateEnd(gate: Gate, end: (reason: GateEnd) => void): () => void {
  const run = () => end(gate.ended());
  if (gate.signal.aborted) queueMicrotask(run);
  else gate.signal.addEventListener("abort", run, { once: true });
  return () => gate.signal.removeEventListener("abort", run);
}

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}

export type Resolved =
  | { readonly tag: "address"; readonly address: string }
  | { readonly tag: "unresolved"; readonly detail: string }
  | GateEnd;

/** The IPv4 address of a host, the only kind that llama.cpp's RPC connects to. */
export async function resolveHost(host: string, gate: Gate): Promise<Resolved> {
  if (gate.signal.aborted) return gate.ended();
  if (isIPv4(host)) return { tag: "address", address: host };
  const { promise, resolve } = Promise.withResolvers<Resolved>();
  const forget = onGateEnd(gate, resolve);
  lookup(host, { family: 4 }).then(
    ({ address }) => resolve({ tag: "address", address }),
    (error: Error) => resolve({ tag: "unresolved", detail: codeOf(error) }),
  );
  return promise.finally(forget);
}

export type Connected =
  | { readonly tag: "connected"; readonly socket: Socket }
  | { readonly tag: "refused" }
  | { readonly tag: "unreachable"; readonly detail: string }
  | GateEnd;

/**
 * Connects, or takes the attempt back when the gate closes. node:net and not Bun.connect: that one gives no handle to an
 * attempt under way, so each blackholed host would keep a socket for the kernel's two minutes of SYN retries (measured).
 */
export function connectTcp(address: string, port: number, gate: Gate): Promise<Connected> {
  if (gate.signal.aborted) return Promise.resolve(gate.ended());
  const { promise, resolve } = Promise.withResolvers<Connected>();
  const socket = createConnection({ host: address, port, noDelay: true });
  const forget = onGateEnd(gate, (reason) => {
    // Before the connect, `destroy()` takes the SYN back and `resetAndDestroy()` does not (measured). Nothing was sent yet.
    socket.destroy();
    resolve(reason);
  });
  socket.once("connect", () => resolve({ tag: "connected", socket }));
  // Stays on: an error without a listener would end the process.
  socket.on("error", (error) => {
    const code = codeOf(error);
    resolve(code === "ECONNREFUSED" ? { tag: "refused" } : { tag: "unreachable", detail: code });
  });
  return promise.finally(forget);
}

export type Answer =
  | { readonly tag: "reply"; readonly payload: Uint8Array; readonly elapsedMs: number }
  | { readonly tag: "alien"; readonly detail: string }
  | { readonly tag: "closed"; readonly detail: string; readonly receivedBytes: number }
  | GateEnd;

export interface Link {
  /** Sends one request and waits for its one reply; one at a time. */
  ask(frame: Uint8Array): Promise<Answer>;
  /** Sends RST: after an unanswered HELLO any other close can kill the rpc-server (facts/llamacpp.md b4). */
  reset(): void;
}

/** Speaks request and reply over a connected socket, until the gate closes. */
export function createLink(socket: Socket, gate: Gate): Link {
  let received = new Uint8Array();
  let closed: string | null = null;
  let settle: ((answer: Answer) => void) | null = null;
  let sentAt = 0;

  const closedAnswer = (detail: string): Answer => ({ tag: "closed", detail, receivedBytes: received.length });
  const step = () => {
    const decoded = decodeReply(received);
    if (decoded.tag === "bad") settle?.({ tag: "alien", detail: decoded.detail });
    if (decoded.tag === "value") {
      settle?.({ tag: "reply", payload: decoded.value, elapsedMs: performance.now() - sentAt });
    }
  };
  const end = (detail: string) => {
    closed ??= detail;
    settle?.(closedAnswer(closed));
  };
  socket.on("data", (chunk: Uint8Array) => {
    received = Buffer.concat([received, chunk]);
    step();
    // Nobody waits: what comes uninvited is judged with the next request, and must not grow until then.
    if (!settle && received.length > 1024) socket.resetAndDestroy();
  });
  socket.once("error", (error) => end(codeOf(error)));
  socket.once("end", () => end("closed the connection"));
  socket.once("close", () => end("closed the connection"));

  return {
    async ask(frame) {
      if (closed !== null) return closedAnswer(closed);
      if (received.length > 0) return { tag: "alien", detail: "speaks before it is asked" };
      const { promise, resolve } = Promise.withResolvers<Answer>();
      settle = resolve;
      const forget = onGateEnd(gate, resolve);
      sentAt = performance.now();
      socket.write(frame);
      const answer = await promise;
      forget();
      settle = null;
      received = new Uint8Array();
      return answer;
    },
    reset() {
      socket.resetAndDestroy();
    },
  };
}
