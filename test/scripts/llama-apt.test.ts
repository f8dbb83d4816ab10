import { describe, expect, test } from "bun:test";
import { firstComplaint, readDistribution } from "../../scripts/llama-apt.ts";

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

describe("firstComplaint()", () => {
  test("gives the reason why a list cannot be fetched, not its address", () => {
    const output = `Err:1 http://mirror/debian forky InRelease
  Could not connect to mirror:80 (192.0.2.1). - connect (111: Connection refused)
Reading package lists...
W: Failed to fetch http://mirror/debian/dists/forky/InRelease  Could not connect to mirror:80 (192.0.2.1). - connect (111: Connection refused)
W: Some index files failed to download. They have been ignored, or old ones used instead.`;
    expect(firstComplaint(output)).toBe(
      "Could not connect to mirror:80 (192.0.2.1). - connect (111: Connection refused)",
    );
  });

  test("takes an error that is none of fetching as it is, and has nothing to say of a good run", () => {
    expect(firstComplaint("E: Unable to locate package llama.cpp-tools\n")).toBe(
      "Unable to locate package llama.cpp-tools",
    );
    expect(firstComplaint("Reading package lists...\n")).toBeNull();
  });
});
