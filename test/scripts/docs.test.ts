import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isReferenceCurrent } from "../../scripts/docs.ts";

const ROOT = join(import.meta.dir, "..", "..");
const documents = ["README.md", ...readdirSync(join(ROOT, "docs")).map((name) => join("docs", name))];

test("docs/reference.md says what the code says (`npm run docs` writes it)", async () => {
  expect(await isReferenceCurrent()).toBe(true);
});

describe.each(documents)("%s", (document) => {
  const text = readFileSync(join(ROOT, document), "utf8");

  test("links to files that are there", () => {
    const targets = [...text.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)].map(([, target = ""]) => target);
    expect(targets.filter((target) => !existsSync(join(ROOT, dirname(document), target)))).toEqual([]);
  });

  test("names source files that are there", () => {
    const named = [...text.matchAll(/`((?:core|io|engine|http|cli)\/[\w-]+\.ts)`/g)].map(([, path = ""]) => path);
    expect(named.filter((path) => !existsSync(join(ROOT, "src", path)))).toEqual([]);
  });

  test("has each of its places for figures filled", () => {
    expect([...text.matchAll(/<!-- (bench \w+) -->\s*<!-- \/\1 -->/g)].map(([, name]) => name)).toEqual([]);
  });
});
