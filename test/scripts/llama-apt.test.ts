import { describe, expect, test } from "bun:test";
import { readDistribution } from "../../scripts/llama-apt.ts";

describe("readDistribution()", () => {
  test("knows Debian and Ubuntu", () => {
    expect(readDistribution('ID=debian\nVERSION_CODENAME=bookworm\nVERSION_ID="12"\n')).toEqual({
      kind: "debian",
      codename: "bookworm",
    });
    expect(readDistribution("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\nUBUNTU_CODENAME=noble\n")).toEqual({
      kind: "ubuntu",
      codename: "noble",
    });
  });

  test("reads through to what a derivative is made of", () => {
    const mint = 'ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n';
    expect(readDistribution(mint)).toEqual({ kind: "ubuntu", codename: "noble" });
    const lmde = "ID=linuxmint\nID_LIKE=debian\nVERSION_CODENAME=faye\nDEBIAN_CODENAME=bookworm\n";
    expect(readDistribution(lmde)).toEqual({ kind: "debian", codename: "bookworm" });
  });

  test.each(["", "ID=fedora\nVERSION_CODENAME=x\n", "ID=debian\n"])("has no way for %p", (text) => {
    expect(readDistribution(text)).toBeNull();
  });
});
