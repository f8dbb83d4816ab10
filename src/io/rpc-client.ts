/** Asks a backend who it is, and watches one that is held: llama.cpp's RPC over TCP. */
import { SynapticError } from "../core/errors.ts";
import type { ProbeResult } from "../core/health.ts";
import type { DeviceFacts } from "../core/plan-types.ts";
import {
  decodeDeviceCount,
  decodeDeviceMemory,
  decodeHello,
  encodeDeviceCount,
  encodeDeviceMemory,
  encodeHello,
  type HelloForm,
  hasDeviceCount,
} from "../core/rpc.ts";
import { type Endpoint, formatEndpoint, splitEndpoint } from "../core/units.ts";
import { type Answer, connectTcp, createLink, type Gate, type Link, openGate, resolveHost } from "./rpc-link.ts";

export interface ProbeOptions {
  /** For the whole probe. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Told the resolved address before anything is sent; returns the endpoint that owns it. Another one ends the probe. */
  readonly claim?: (address: Endpoint) => Endpoint;
}

/**
 * HELLO, device count, device memory, close. Never rejects: all that can go wrong is a fact. Not for a backend that a
 * coordinator of ours holds. Each close is an RST, also the good one: it leaves no TIME-WAIT to block a port (facts b4, b5).
 */
export async function probeBackend(endpoint: Endpoint, options: ProbeOptions): Promise<ProbeResult> {
  const { host, port } = splitEndpoint(endpoint);
  using gate = openGate(options.timeoutMs, options.signal);
  const resolved = await resolveHost(host, gate);
  if (resolved.tag === "deadline") {
    return { tag: "unresolved", detail: `no answer within ${options.timeoutMs} ms` };
  }
  if (resolved.tag !== "address") return resolved;
  const address = formatEndpoint(resolved.address, port);
  const owner = options.claim?.(address) ?? endpoint;
  if (owner !== endpoint) return { tag: "duplicate", of: owner };
  // A server that wants the other form of HELLO closes without a word; one that does so twice wants neither.
  const first = await greet(address, "current", gate, options.timeoutMs);
  return first.tag === "hung-up" ? notHungUp(await greet(address, "legacy", gate, options.timeoutMs)) : first;
}

type Greeting = ProbeResult | { readonly tag: "hung-up"; readonly detail: string };

function notHungUp(greeting: Greeting): ProbeResult {
  return greeting.tag === "hung-up" ? { tag: "broken", detail: `${greeting.detail} on HELLO` } : greeting;
}

async function greet(address: Endpoint, form: HelloForm, gate: Gate, timeoutMs: number): Promise<Greeting> {
  const { host, port } = splitEndpoint(address);
  const connected = await connectTcp(host, port, gate);
  if (connected.tag === "deadline") return { tag: "connect-timeout", timeoutMs };
  if (connected.tag !== "connected") return connected;
  const link = createLink(connected.socket, gate);
  try {
    const hello = await link.ask(encodeHello(form));
    if (hello.tag === "deadline") return { tag: "silent" };
    if (hello.tag === "closed" && hello.receivedBytes === 0) return { tag: "hung-up", detail: hello.detail };
    if (hello.tag !== "reply") return failureOf(hello);
    const version = decodeHello(hello.payload);
    if (version.tag === "bad") return { tag: "alien", detail: version.detail };
    const devices = await readDevices(link, version.value);
    if ("tag" in devices) return devices;
    const rttMs = Math.min(hello.elapsedMs, devices.rttMs);
    return { tag: "up", protocol: version.value, devices: devices.devices, rttMs, address };
  } finally {
    link.reset();
  }
}

function failureOf(answer: Exclude<Answer, { tag: "reply" }>): ProbeResult {
  switch (answer.tag) {
    case "deadline":
      return { tag: "broken", detail: "answers HELLO, then falls silent" };
    case "closed":
      return { tag: "broken", detail: answer.detail };
    case "alien":
    case "cancelled":
      return answer;
  }
}

interface Devices {
  readonly devices: readonly DeviceFacts[];
  /** The shortest of the round trips. */
  readonly rttMs: number;
}

async function readDevices(link: Link, version: Parameters<typeof hasDeviceCount>[0]): Promise<Devices | ProbeResult> {
  let count = 1;
  let rttMs = Number.POSITIVE_INFINITY;
  if (hasDeviceCount(version)) {
    const answer = await link.ask(encodeDeviceCount());
    if (answer.tag !== "reply") return failureOf(answer);
    const decoded = decodeDeviceCount(answer.payload);
    if (decoded.tag === "bad") return { tag: "alien", detail: decoded.detail };
    count = decoded.value;
    rttMs = answer.elapsedMs;
  }
  const devices: DeviceFacts[] = [];
  for (let index = 0; index < count; index++) {
    const answer = await link.ask(encodeDeviceMemory(version, index));
    if (answer.tag !== "reply") return failureOf(answer);
    const decoded = decodeDeviceMemory(answer.payload, index);
    if (decoded.tag === "bad") return { tag: "alien", detail: decoded.detail };
    devices.push(decoded.value);
    rttMs = Math.min(rttMs, answer.elapsedMs);
  }
  return { devices, rttMs };
}

export interface SentinelOptions {
  /** Called once, when the connection ends other than by `close()`. */
  readonly onLost: (reason: string) => void;
  /** For the connect. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface Sentinel {
  /** Sends RST. An rpc-server whose holder has left serves the sentinel next, and nobody else until then. */
  close(): void;
}

/** Kernel keep-alive after this much silence: so a machine that loses power is noticed, which sends neither FIN nor RST. */
const KEEP_ALIVE_MS = 10_000;

/**
 * Opens one connection that never says a word: it waits in the queue of a held rpc-server, and breaks within a
 * millisecond of that server's death (facts/llamacpp.md k).
 * @throws SynapticError `upstream_timeout` when no connection comes about in time (the queue of two may be full),
 * `upstream_error` when there is none to be had, `client_gone` when the signal fires first.
 */
export async function openSentinel(endpoint: Endpoint, options: SentinelOptions): Promise<Sentinel> {
  const { host, port } = splitEndpoint(endpoint);
  using gate = openGate(options.timeoutMs, options.signal);
  const resolved = await resolveHost(host, gate);
  const connected = resolved.tag === "address" ? await connectTcp(resolved.address, port, gate) : resolved;
  if (connected.tag !== "connected") throw sentinelError(endpoint, connected, options.timeoutMs);
  const { socket } = connected;
  let over = false;
  const lose = (reason: string) => {
    if (over) return;
    over = true;
    socket.resetAndDestroy();
    options.onLost(reason);
  };
  socket.once("error", (error) => lose(`its connection broke (${error.message})`));
  socket.once("end", () => lose("it closed the connection"));
  socket.once("close", () => lose("its connection was closed"));
  socket.resume();
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  return {
    close() {
      over = true;
      socket.resetAndDestroy();
    },
  };
}

type NotConnected = { readonly tag: string; readonly detail?: string };

function sentinelError(endpoint: Endpoint, failure: NotConnected, timeoutMs: number): SynapticError {
  const action = `Cannot watch ${endpoint}`;
  if (failure.tag === "cancelled") return new SynapticError("client_gone", `${action}: given up`);
  if (failure.tag === "deadline") {
    return new SynapticError("upstream_timeout", `${action}: no connection within ${timeoutMs} ms`);
  }
  const detail = failure.tag === "refused" ? "connection refused" : (failure.detail ?? failure.tag);
  return new SynapticError("upstream_error", `${action}: ${detail}`);
}
