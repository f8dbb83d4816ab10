/** Frames of llama.cpp's RPC protocol that a probe needs, and its version rules. Pure. Source: facts/llamacpp.md b1, b2. */
import type { DeviceFacts } from "./plan-types.ts";
import type { BackendSnapshot, EngineFacts } from "./snapshot.ts";

export interface RpcVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

/** What our llama-server speaks as a client; `release` is llama.cpp's own version, for the sentence that says what to install. */
export interface EngineProtocol {
  readonly major: number;
  readonly minor: number;
  readonly patch?: number;
  readonly release?: string;
}

/** Of the builds, the one that may talk to most of the backends as they were last seen; the first of those that are equal. */
export function bestEngine(builds: readonly EngineFacts[], backends: readonly BackendSnapshot[]): EngineFacts {
  const servers = backends.flatMap(({ protocol }) => (protocol === null ? [] : [parseVersion(protocol)]));
  const fits = (build: EngineFacts): number => {
    const client = engineProtocol(build);
    return client ? servers.filter((server) => isCompatible(client, server).ok).length : -1;
  };
  return builds.reduce((best, build) => (fits(build) > fits(best) ? build : best));
}

/** What the monitor compares backends with; null while it could not be measured. */
export function engineProtocol({ protocol, version }: EngineFacts): EngineProtocol | null {
  return protocol && { ...protocol, release: version };
}

const COMMAND = { deviceMemory: 11, hello: 14, deviceCount: 15 } as const;
const SIZE_BYTES = 8;
/** Version, padding and capabilities; all zero asks for plain TCP. */
const HELLO_BYTES = 24;
/** The longest reply a probe asks for has 28 bytes; room for a HELLO that grows. */
const MAX_REPLY_BYTES = 256;
/** An rpc-server has a handful of devices; more means that we read garbage. */
const MAX_DEVICES = 64;
/** The first protocol with DEVICE_COUNT and a device argument. */
const FIRST_MULTI_DEVICE_MAJOR = 3;
const WRAPPED = 2n ** 63n;

function encodeRequest(command: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(1 + SIZE_BYTES + payload.length);
  frame[0] = command;
  new DataView(frame.buffer).setBigUint64(1, BigInt(payload.length), true);
  frame.set(payload, 1 + SIZE_BYTES);
  return frame;
}

export type HelloForm = "current" | "legacy";

/** HELLO, which must come first and once; `legacy` is the empty one that servers want which know no capabilities. */
export function encodeHello(form: HelloForm): Uint8Array {
  return encodeRequest(COMMAND.hello, new Uint8Array(form === "current" ? HELLO_BYTES : 0));
}

export function encodeDeviceCount(): Uint8Array {
  return encodeRequest(COMMAND.deviceCount, new Uint8Array(0));
}

/** Asks for the memory of device `index`; a server with one device only takes no argument. */
export function encodeDeviceMemory(version: RpcVersion, index: number): Uint8Array {
  if (!hasDeviceCount(version)) return encodeRequest(COMMAND.deviceMemory, new Uint8Array(0));
  const payload = new Uint8Array(4);
  new DataView(payload.buffer).setUint32(0, index, true);
  return encodeRequest(COMMAND.deviceMemory, payload);
}

/** Servers before RPC 3 have one device and no DEVICE_COUNT. */
export function hasDeviceCount(version: RpcVersion): boolean {
  return version.major >= FIRST_MULTI_DEVICE_MAJOR;
}

export type Decoded<T> =
  | { readonly tag: "value"; readonly value: T }
  | { readonly tag: "bad"; readonly detail: string };
export type ReplyStep = Decoded<Uint8Array> | { readonly tag: "more" };

function value<T>(decoded: T): Decoded<T> {
  return { tag: "value", value: decoded };
}

function bad(detail: string): { readonly tag: "bad"; readonly detail: string } {
  return { tag: "bad", detail };
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** What is said of bytes that are no reply, from how they begin. */
function describeAlien(bytes: Uint8Array): string {
  const head = String.fromCharCode(...bytes.subarray(0, SIZE_BYTES));
  if (head.startsWith("HTTP/") || head.startsWith("<")) return "looks like HTTP";
  if (head.startsWith("SSH-")) return "looks like SSH";
  const hex = [...bytes.subarray(0, SIZE_BYTES)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return `its reply begins with ${hex}`;
}

/** Looks for one whole reply in the bytes received so far for one request: `more` until it is there, `bad` as soon as it cannot be one. */
export function decodeReply(received: Uint8Array): ReplyStep {
  if (received.length < SIZE_BYTES) return { tag: "more" };
  const size = view(received).getBigUint64(0, true);
  if (size > BigInt(MAX_REPLY_BYTES)) return bad(describeAlien(received));
  const end = SIZE_BYTES + Number(size);
  if (received.length < end) return { tag: "more" };
  if (received.length > end) return bad(`sent ${received.length - end} bytes nobody asked for`);
  return value(received.subarray(SIZE_BYTES, end));
}

/** Reads the version from a HELLO reply: 28 bytes today, 3 bytes from servers that want the empty HELLO. */
export function decodeHello(payload: Uint8Array): Decoded<RpcVersion> {
  const [major, minor, patch] = payload;
  if (major === undefined || minor === undefined || patch === undefined) {
    return bad(`its HELLO reply has ${payload.length} bytes instead of 3 or more`);
  }
  return value({ major, minor, patch });
}

/** Reads the number of devices, 1 to 64. */
export function decodeDeviceCount(payload: Uint8Array): Decoded<number> {
  if (payload.length !== 4) return bad(`its device count has ${payload.length} bytes instead of 4`);
  const count = view(payload).getUint32(0, true);
  if (count < 1 || count > MAX_DEVICES) return bad(`it reports ${count} devices`);
  return value(count);
}

/** Reads a device's free and total bytes; a CPU gives itself away by free = total (facts b5). */
export function decodeDeviceMemory(payload: Uint8Array, index: number): Decoded<DeviceFacts> {
  if (payload.length !== 16) return bad(`its device memory has ${payload.length} bytes instead of 16`);
  const reported = view(payload).getBigUint64(0, true);
  const total = view(payload).getBigUint64(8, true);
  // An unsigned total - used that went below zero on the server: nothing is free there.
  const free = reported >= WRAPPED ? 0n : reported;
  if (total > BigInt(Number.MAX_SAFE_INTEGER) || free > total) {
    return bad(`device ${index} reports ${reported} bytes free of ${total}`);
  }
  const kind = free === total && total > 0n ? "cpu" : "accelerator";
  return value({ index, kind, freeBytes: Number(free), totalBytes: Number(total) });
}

/** Reads what `formatVersion` writes. */
function parseVersion(text: string): RpcVersion {
  const [major = 0, minor = 0, patch = 0] = text.split(".").map(Number);
  return { major, minor, patch };
}

export function formatVersion(version: RpcVersion): string {
  return `${version.major}.${version.minor}.${version.patch}`;
}

export type Compatibility =
  | { readonly ok: true; readonly warning: string | null }
  | { readonly ok: false; readonly reason: string };

/** Whether the engine may talk to a server: same major, server's minor not newer; another patch only deserves a warning (facts b2). */
export function isCompatible(client: EngineProtocol, server: RpcVersion): Compatibility {
  const theirs = `speaks RPC ${server.major}.${server.minor}`;
  if (server.major !== client.major || server.minor > client.minor) {
    const release = client.release ? `llama.cpp ${client.release}` : "the llama.cpp release of this llama-server";
    const ours = `this llama-server ${client.major}.${client.minor}`;
    return { ok: false, reason: `${theirs}, ${ours}: install ${release} on it or run without it` };
  }
  if (client.patch === undefined || client.patch === server.patch) return { ok: true, warning: null };
  const ours = `${client.major}.${client.minor}.${client.patch}`;
  return {
    ok: true,
    warning: `speaks RPC ${formatVersion(server)}, this llama-server ${ours}: their graph operations may differ, use the same llama.cpp release on both`,
  };
}
