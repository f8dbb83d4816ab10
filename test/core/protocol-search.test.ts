import { describe, expect, test } from "bun:test";
import { answerClient, nextOffer, type ProtocolVersion, type Trial } from "../../src/core/protocol-search.ts";

/** Runs the whole search against a client of this version, by the client's own rule. */
function search(own: ProtocolVersion | null): { readonly offers: number; readonly found: ProtocolVersion | null } {
  const trials: Trial[] = [];
  for (;;) {
    const step = nextOffer(trials);
    if (step.tag === "found") return { offers: trials.length, found: step.version };
    if (step.tag === "unknown") return { offers: trials.length, found: null };
    const accepted = own !== null && step.version.major === own.major && step.version.minor <= own.minor;
    trials.push({ offered: step.version, accepted });
  }
}

describe("nextOffer()", () => {
  test("needs two offers for 8.0", () => {
    expect(search({ major: 8, minor: 0 })).toEqual({ offers: 2, found: { major: 8, minor: 0 } });
  });

  test("finds every major from 1 to 20 and any minor", () => {
    for (let major = 1; major <= 20; major += 1) {
      for (const minor of [0, 1, 7]) expect(search({ major, minor }).found).toEqual({ major, minor });
    }
  });

  test("gives up on a client that takes none of them", () => {
    expect(search(null)).toEqual({ offers: 20, found: null });
    expect(search({ major: 21, minor: 0 }).found).toBeNull();
  });

  test("ends with a client that takes every minor", () => {
    expect(search({ major: 8, minor: 1_000_000 }).found).toEqual({ major: 8, minor: 30 });
  });
});

describe("answerClient()", () => {
  const offered = { major: 8, minor: 3 };
  /** As 0.7.0 sends it. */
  const hello = Buffer.concat([Buffer.from("0e1800000000000000", "hex"), Buffer.alloc(24)]);

  test("answers a HELLO with size, version and no capabilities", () => {
    const turn = answerClient(hello, offered);
    expect(turn.tag === "reply" && Buffer.from(turn.bytes).toString("hex")).toBe(
      `1c00000000000000080300${"00".repeat(25)}`,
    );
  });

  test("answers a HELLO of before protocol 6 with three bytes", () => {
    const turn = answerClient(Buffer.from("0e0000000000000000", "hex"), { major: 3, minor: 1 });
    expect(turn.tag === "reply" && Buffer.from(turn.bytes).toString("hex")).toBe("0300000000000000030100");
  });

  test("waits at every length short of a whole HELLO", () => {
    for (let length = 0; length < hello.length; length += 1) {
      expect(answerClient(hello.subarray(0, length), offered)).toEqual({ tag: "wait" });
    }
  });

  test("takes the next command for acceptance", () => {
    expect(answerClient(Buffer.concat([hello, Buffer.from([0x0f])]), offered)).toEqual({ tag: "accepted" });
  });

  test("knows a stranger by the first byte, and by a HELLO of an impossible size", () => {
    expect(answerClient(Buffer.from("GET / HTTP/1.1\r\n"), offered)).toEqual({ tag: "alien" });
    expect(answerClient(Buffer.from("0effffffffffffffff", "hex"), offered)).toEqual({ tag: "alien" });
  });
});
