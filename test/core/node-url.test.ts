/** Addresses of Ollama nodes, in the forms that people and Ollama write them in. */
import { describe, expect, test } from "bun:test";
import { hostOfNode, portOfNode, readNodeUrl } from "../../src/core/node-url.ts";

describe("readNodeUrl()", () => {
  const good: [text: string, url: string][] = [
    ["10.0.0.5", "http://10.0.0.5:11434"],
    ["gpu-box:1234", "http://gpu-box:1234"],
    ["http://10.0.0.5:11434/", "http://10.0.0.5:11434"],
    ["http://10.0.0.5", "http://10.0.0.5"],
    ["https://llm.example.org/ollama/", "https://llm.example.org/ollama"],
    [' "10.0.0.5:11434" ', "http://10.0.0.5:11434"],
    [":1234", "http://127.0.0.1:1234"],
    ["::1", "http://[::1]:11434"],
    ["[fd00::5]:80", "http://[fd00::5]"],
    ["localhost:80", "http://localhost"],
  ];
  test.each(good)("reads %s as Ollama does", (text, url) => {
    expect(readNodeUrl(text)).toEqual({ ok: true, url });
  });

  test.each(["0.0.0.0", "0.0.0.0:11434", "http://0.0.0.0:11434", "[::]:11434", "::"])(
    "reads %s, an address to listen on, as this machine",
    (text) => {
      expect(readNodeUrl(text)).toEqual({ ok: true, url: "http://127.0.0.1:11434" });
    },
  );

  test.each([
    "",
    '""',
    "a b",
    "10.0.0.5:99999",
    "10.0.66",
    "10.0.0.400",
    "ftp://x",
    "http://",
    "http://h/?a=b",
    "x".repeat(3000),
  ])("takes %p for no address", (text) => {
    expect(readNodeUrl(text).ok).toBe(false);
  });

  test("takes no password, and says why", () => {
    expect(readNodeUrl("http://ann:secret@h")).toMatchObject({ ok: false, hint: expect.stringContaining("status") });
  });
});

test("hostOfNode() and portOfNode() take an address apart", () => {
  expect([hostOfNode("http://[::1]:5"), portOfNode("http://[::1]:5")]).toEqual(["::1", 5]);
  expect([portOfNode("https://h"), portOfNode("http://h/x")]).toEqual([443, 80]);
});
