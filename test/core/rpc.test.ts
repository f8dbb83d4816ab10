/** Frames, bounds and version rules of core/rpc. */
import { describe, expect, test } from "bun:test";
import {
  bestEngine,
  type Decoded,
  decodeDeviceCount,
  decodeDeviceMemory,
  decodeHello,
  decodeReply,
  encodeDeviceCount,
  encodeDeviceMemory,
  encodeHello,
  isCompatible,
  type ReplyStep,
} from "../../src/core/rpc.ts";

const V8 = { major: 8, minor: 0, patch: 0 };

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(" ", ""), "hex"));
}

function detail(step: ReplyStep | Decoded<unknown>): string {
  return step.tag === "bad" ? step.detail : step.tag;
}

function memory(free: bigint, total: bigint): Uint8Array {
  const payload = new DataView(new ArrayBuffer(16));
  payload.setBigUint64(0, free, true);
  payload.setBigUint64(8, total, true);
  return new Uint8Array(payload.buffer);
}

describe("requests are the bytes that were measured on the wire (facts b1)", () => {
  test("encodeHello() sends 24 zero bytes, or none in the legacy form", () => {
    expect(encodeHello("current")).toEqual(bytes(`0e 1800000000000000 ${"00".repeat(24)}`));
    expect(encodeHello("legacy")).toEqual(bytes("0e 0000000000000000"));
  });

  test("encodeDeviceCount() has no payload", () => {
    expect(encodeDeviceCount()).toEqual(bytes("0f 0000000000000000"));
  });

  test("encodeDeviceMemory() names the device, but not to a server before RPC 3", () => {
    expect(encodeDeviceMemory(V8, 258)).toEqual(bytes("0b 0400000000000000 02010000"));
    expect(encodeDeviceMemory({ major: 2, minor: 0, patch: 0 }, 0)).toEqual(bytes("0b 0000000000000000"));
  });
});

describe("decodeReply()", () => {
  const reply = bytes("0400000000000000 01000000");

  test("waits at every byte before the last, however the segments fall", () => {
    for (let length = 0; length < reply.length; length++) {
      expect(decodeReply(reply.subarray(0, length))).toEqual({ tag: "more" });
    }
    expect(decodeReply(reply)).toEqual({ tag: "value", value: bytes("01000000") });
  });

  test("reads from a view into a larger buffer", () => {
    const larger = new Uint8Array([9, 9, 9, ...reply]);
    expect(decodeReply(larger.subarray(3))).toEqual({ tag: "value", value: bytes("01000000") });
  });

  test("refuses a length of 2^64-1 or 257 before anything of it has come", () => {
    expect(detail(decodeReply(bytes("ffffffffffffffff")))).toBe("its reply begins with ff ff ff ff ff ff ff ff");
    expect(detail(decodeReply(bytes("0101000000000000")))).toContain("01 01 00");
  });

  test("tells HTTP and SSH by how they begin", () => {
    expect(detail(decodeReply(Buffer.from("HTTP/1.1 400 Bad Request\r\n")))).toBe("looks like HTTP");
    expect(detail(decodeReply(Buffer.from("<html>\r\n<head>")))).toBe("looks like HTTP");
    expect(detail(decodeReply(Buffer.from("SSH-2.0-OpenSSH_9.2\r\n")))).toBe("looks like SSH");
  });

  test("refuses bytes after the one reply that was asked for", () => {
    expect(detail(decodeReply(new Uint8Array([...reply, 0])))).toBe("sent 1 bytes nobody asked for");
  });
});

describe("decodeHello()", () => {
  test("reads the version from 28 bytes and from the 3 bytes of old servers", () => {
    expect(decodeHello(bytes(`07000100 ${"00".repeat(24)}`))).toEqual({
      tag: "value",
      value: { major: 7, minor: 0, patch: 1 },
    });
    expect(decodeHello(bytes("020304"))).toEqual({ tag: "value", value: { major: 2, minor: 3, patch: 4 } });
  });

  test("refuses a reply of two bytes", () => {
    expect(detail(decodeHello(bytes("0800")))).toContain("2 bytes instead of 3");
  });
});

describe("decodeDeviceCount()", () => {
  test("takes 1 to 64 devices", () => {
    expect(decodeDeviceCount(bytes("01000000"))).toEqual({ tag: "value", value: 1 });
    expect(decodeDeviceCount(bytes("40000000"))).toEqual({ tag: "value", value: 64 });
  });

  test.each(["00000000", "41000000", "ffffffff", "0100", "0100000000"])("refuses %s", (hex) => {
    expect(decodeDeviceCount(bytes(hex)).tag).toBe("bad");
  });
});

describe("decodeDeviceMemory()", () => {
  test("takes free = total for a CPU, anything else for an accelerator", () => {
    expect(decodeDeviceMemory(memory(5n, 5n), 0)).toEqual({
      tag: "value",
      value: { index: 0, kind: "cpu", freeBytes: 5, totalBytes: 5 },
    });
    expect(decodeDeviceMemory(memory(4n, 5n), 1)).toMatchObject({ value: { index: 1, kind: "accelerator" } });
  });

  test("takes no memory at all for no CPU", () => {
    expect(decodeDeviceMemory(memory(0n, 0n), 0)).toMatchObject({ value: { kind: "accelerator", freeBytes: 0 } });
  });

  test("reads a subtraction that wrapped below zero as nothing free", () => {
    expect(decodeDeviceMemory(memory(2n ** 64n - 4096n, 5n), 0)).toMatchObject({ value: { freeBytes: 0 } });
  });

  test("refuses more free than total, more than 2^53 bytes, and another length", () => {
    expect(decodeDeviceMemory(memory(6n, 5n), 0).tag).toBe("bad");
    expect(decodeDeviceMemory(memory(1n, 2n ** 60n), 0).tag).toBe("bad");
    expect(decodeDeviceMemory(new Uint8Array(15), 0).tag).toBe("bad");
  });
});

describe("isCompatible()", () => {
  const client = { major: 8, minor: 2, patch: 1 };

  test.each([
    [8, 2, true],
    [8, 0, true],
    [8, 3, false],
    [7, 2, false],
    [9, 0, false],
  ])("server %i.%i: %p", (major, minor, ok) => {
    expect(isCompatible(client, { major, minor, patch: 1 }).ok).toBe(ok);
  });

  test("only warns of another patch, and cannot when it does not know its own", () => {
    const server = { major: 8, minor: 2, patch: 7 };
    expect(isCompatible(client, server)).toMatchObject({ ok: true, warning: expect.stringContaining("RPC 8.2.7") });
    expect(isCompatible({ major: 8, minor: 2 }, server)).toEqual({ ok: true, warning: null });
    expect(isCompatible(client, { ...server, patch: 1 })).toEqual({ ok: true, warning: null });
  });

  test("says both versions and what to install", () => {
    expect(isCompatible({ ...client, release: "0.7.0" }, { major: 7, minor: 0, patch: 0 })).toEqual({
      ok: false,
      reason: "speaks RPC 7.0, this llama-server 8.2: install llama.cpp 0.7.0 on it or run without it",
    });
  });
});

describe("bestEngine()", () => {
  const build = (path: string, major: number | null) => ({
    path,
    version: "1",
    build: null,
    protocol: major === null ? null : { major, minor: 0 },
    localDevices: [],
  });
  const backend = (protocol: string | null) => ({
    endpoint: "10.0.0.1:50052" as const,
    machine: "10.0.0.1",
    state: "up" as const,
    since: "",
    reason: "",
    protocol,
    rttMs: null,
    devices: [],
    lease: null,
  });

  test("takes the build that most backends go with, the first of those that are equal, and one without RPC last", () => {
    const builds = [build("none", null), build("seven", 7), build("eight", 8)];
    const best = (...protocols: (string | null)[]) => bestEngine(builds, protocols.map(backend)).path;
    expect(best("8.0.0", "8.0.1", "7.0.0")).toBe("eight");
    expect(best("8.0.0", "7.0.0", null)).toBe("seven");
    expect(best()).toBe("seven");
  });
});
