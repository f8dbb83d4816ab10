/** Holds the house's rules: who may import whom, and how files look. Scans text, so that type-only imports count. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, normalize, relative } from "node:path";

const ROOT = join(import.meta.dir, "..");

interface Rule {
  /** Folders of src that it may import, itself included. */
  readonly folders: readonly string[];
  /** Packages, or prefixes of them that end in `:`. */
  readonly packages: readonly string[];
}

/** What main.ts joins may not know each other: engine and io fit by structure only. */
const RULES: Readonly<Record<string, Rule>> = {
  core: { folders: ["core"], packages: ["zod"] },
  io: { folders: ["io", "core"], packages: ["bun", "node:", "consola", "zod", "jsonc-parser"] },
  engine: { folders: ["engine", "core"], packages: ["prom-client"] },
  http: { folders: ["http", "engine", "core"], packages: ["hono", "@hono/zod-validator", "zod"] },
  cli: { folders: ["cli", "http", "engine", "core"], packages: ["consola", "commander"] },
};

const MAX_LINES = 250;
const VAGUE_NAMES = ["utils", "util", "helpers", "helper", "common", "services", "service", "misc", "index"];

interface SourceFile {
  /** From the root, such as `src/core/plan.ts`. */
  readonly path: string;
  readonly text: string;
  /** Without comments. */
  readonly code: string;
  /** Without comments and without the contents of strings. */
  readonly bare: string;
}

/** Comments, regular expressions (after what cannot end a value), strings, templates: in this order, from the left. */
const LEXEMES =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|(?<=(?:[=(,:!&|?[]|\breturn)\s*)\/(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g;

function isComment(lexeme: string): boolean {
  return lexeme.startsWith("//") || lexeme.startsWith("/*");
}

function stripComments(text: string): string {
  return text.replace(LEXEMES, (lexeme) => (isComment(lexeme) ? " " : lexeme));
}

/** Of a template only the code in its `${}` stays. */
function stripStrings(code: string): string {
  return code.replace(LEXEMES, (lexeme) => {
    if (!lexeme.startsWith("`")) return '""';
    return `(${[...lexeme.matchAll(/\$\{([^}]*)\}/g)].map(([, inner = ""]) => inner).join(";")})`;
  });
}

function sourceFile(path: string, text: string): SourceFile {
  const code = stripComments(text);
  return { path, text, code, bare: stripStrings(code) };
}

function pathsUnder(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .filter((path) => !path.includes("node_modules"));
}

function readSources(folder: string): readonly SourceFile[] {
  const paths = pathsUnder(folder).filter((path) => /\.(ts|mts|mjs|js)$/.test(path));
  return paths.map((path) => sourceFile(path, readFileSync(join(ROOT, path), "utf8")));
}

const IMPORT = /\b(?:import|export)\s[^;"'`]*?\bfrom\s*"([^"]+)"|\bimport\s*\(?\s*"([^"]+)"/g;

/** Specifiers of static, type-only, side-effect, re-exporting and dynamic imports. */
function importsOf(file: SourceFile): readonly string[] {
  return [...file.code.matchAll(IMPORT)].map(([, from, bare]) => from ?? bare ?? "");
}

function resolveImport(file: SourceFile, specifier: string): string | null {
  return specifier.startsWith(".") ? normalize(join(dirname(file.path), specifier)) : null;
}

function folderOf(path: string): string {
  const [, folder = "", rest] = path.split("/");
  return rest === undefined ? "" : folder;
}

function isAllowedPackage(specifier: string, allowed: readonly string[]): boolean {
  return allowed.some((name) =>
    name.endsWith(":") ? specifier.startsWith(name) : specifier === name || specifier.startsWith(`${name}/`),
  );
}

/** Each import that the table forbids, as a sentence. */
function forbiddenImports(file: SourceFile): readonly string[] {
  const folder = folderOf(file.path);
  // Only main.ts lies directly in src: it joins all.
  if (folder === "" && file.path === "src/main.ts") return [];
  const rule = RULES[folder];
  if (!rule) return [`${file.path} lies in a folder that has no rule`];
  return importsOf(file).flatMap((specifier) => {
    const target = resolveImport(file, specifier);
    const allowed =
      target === null
        ? isAllowedPackage(specifier, rule.packages)
        : target.startsWith("src/") && rule.folders.includes(folderOf(target));
    return allowed ? [] : [`${file.path} imports ${specifier}`];
  });
}

/** The first cycle of imports as `a -> b -> a`, or null. */
function findCycle(files: readonly SourceFile[]): string | null {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): string | null => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path].join(" -> ");
    const file = byPath.get(path);
    if (!file || done.has(path)) return null;
    for (const specifier of importsOf(file)) {
      const target = resolveImport(file, specifier);
      const cycle = target === null ? null : visit(target, [...trail, path]);
      if (cycle) return cycle;
    }
    done.add(path);
    return null;
  };
  for (const { path } of files) {
    const cycle = visit(path, []);
    if (cycle) return cycle;
  }
  return null;
}

/** Time, chance and the outside world: none of them in core. */
const IMPURE: readonly RegExp[] = [
  /(?<![.\w])(?:process|Bun|console|globalThis|performance|crypto|navigator)\s*[.[(]/,
  /(?<![.\w])(?:fetch|setTimeout|setInterval|setImmediate|queueMicrotask|structuredClone|require)\s*\(/,
  /\bMath\.random\b/,
  /\bDate\.now\b/,
  /\bnew Date\s*\(\s*\)/,
  /(?<![.\w])Date\s*\(\s*\)/,
  /\bAbortSignal\.timeout\b/,
  /\bimport\.meta\b/,
  /\bawait\b/,
];

function impurities(file: SourceFile): readonly string[] {
  return IMPURE.flatMap((pattern) => {
    const found = pattern.exec(file.bare);
    return found ? [`${file.path} uses ${found[0].trim()}`] : [];
  });
}

function usesAny({ bare }: SourceFile): boolean {
  // Promise.any() and z.any() are other things.
  return /(?<![.\w])any\b(?!\s*[(:?])/.test(bare);
}

function exportsOtherThanByName({ bare }: SourceFile): boolean {
  return /\bexport\s+default\b|\bexport\s*\*|\bas\s+default\b/.test(bare);
}

const src = readSources("src");
const all = [...src, ...readSources("scripts"), ...readSources("test")];
const unfinished = new RegExp(
  `\\b(?:${["TO", "FIX"].map((word) => (word === "TO" ? `${word}DO` : `${word}ME`)).join("|")})\\b`,
);

describe("the house", () => {
  test("imports go one way, and packages stay where the table puts them", () => {
    expect(src.length).toBeGreaterThan(0);
    expect(src.flatMap(forbiddenImports)).toEqual([]);
  });

  test("no import leads back to its own file, types included", () => {
    expect(findCycle(src)).toBeNull();
  });

  test("core/ knows no clock, chance, timer, process or network", () => {
    expect(src.filter(({ path }) => folderOf(path) === "core").flatMap(impurities)).toEqual([]);
  });

  test("exports have names", () => {
    expect(all.filter(exportsOtherThanByName).map(({ path }) => path)).toEqual([]);
  });

  test("nothing has the type any", () => {
    expect(all.filter(usesAny).map(({ path }) => path)).toEqual([]);
  });

  test(`no file of src has more than ${MAX_LINES} lines`, () => {
    const lines = (text: string): number => text.trimEnd().split("\n").length;
    expect(src.filter(({ text }) => lines(text) > MAX_LINES).map(({ path }) => path)).toEqual([]);
  });

  test("each file of src and scripts says its one responsibility in its first line", () => {
    const silent = all.filter(({ path, text }) => !path.startsWith("test/") && !/^\/\*\* \S+ .+\n/.test(text));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  test("no file or folder has a name that says nothing", () => {
    const paths = ["src", "scripts", "test"].flatMap(pathsUnder);
    const vague = paths.filter((path) =>
      VAGUE_NAMES.includes(
        basename(path)
          .replace(/(?:\.test)?\.\w+$/, "")
          .toLowerCase(),
      ),
    );
    expect(vague).toEqual([]);
  });

  test("nothing is put off in a comment", () => {
    expect(all.filter(({ text }) => unfinished.test(text)).map(({ path }) => path)).toEqual([]);
  });
});

describe("the referee", () => {
  const seen = (path: string, text: string): readonly string[] => forbiddenImports(sourceFile(path, text));

  test("sees static, type-only, re-exporting, side-effect and dynamic imports", () => {
    const imports = [
      'import { a } from "../io/a.ts";',
      'import type { B } from "../io/b.ts";',
      'export { c } from "../io/c.ts";',
      'import "../io/d.ts";',
      'const e = await import("../io/e.ts");',
      'type F = import("../io/f.ts").F;',
      'import {\n  g,\n} from "../io/g.ts";',
    ];
    for (const line of imports) expect(seen("src/engine/x.ts", line)).toHaveLength(1);
  });

  test("lets through what the table allows, and what only a comment says", () => {
    expect(
      seen(
        "src/core/x.ts",
        'import { z } from "zod";\nimport { a } from "./a.ts";\n// import { b } from "../io/b.ts";',
      ),
    ).toEqual([]);
    expect(seen("src/io/x.ts", 'import { join } from "node:path";\nimport type { A } from "../core/a.ts";')).toEqual(
      [],
    );
    expect(seen("src/main.ts", 'import { a } from "./io/a.ts";')).toEqual([]);
  });

  test("refuses packages outside the table, the way up out of src, and folders without a rule", () => {
    expect(seen("src/core/x.ts", 'import { join } from "node:path";')).toHaveLength(1);
    expect(seen("src/core/x.ts", 'import { a } from "../../scripts/a.ts";')).toHaveLength(1);
    expect(seen("src/core/x.ts", 'import { a } from "zodiac";')).toHaveLength(1);
    expect(seen("src/extra/x.ts", "")).toHaveLength(1);
  });

  test("sees a cycle of types", () => {
    const a = sourceFile("src/core/a.ts", 'import type { B } from "./b.ts";');
    const b = sourceFile("src/core/b.ts", 'import type { A } from "./a.ts";');
    expect(findCycle([a, b])).toBe("src/core/a.ts -> src/core/b.ts -> src/core/a.ts");
  });

  test("sees a clock in core, also inside a template, but not the words of a message", () => {
    expect(impurities(sourceFile("src/core/x.ts", "const t = Date.now();"))).toHaveLength(1);
    expect(impurities(sourceFile("src/core/x.ts", `const t = ${"`$"}{process.pid}${"`"};`))).toHaveLength(1);
    expect(impurities(sourceFile("src/core/x.ts", 'const t = "process.pid"; // Bun.sleep()'))).toEqual([]);
  });

  test("sees any as a type, not as a word", () => {
    const flagged = (text: string): boolean => usesAny(sourceFile("src/core/x.ts", text));
    expect(["let a: any;", "f<any>()", "x as any;", "let a: any[];"].map(flagged)).toEqual([true, true, true, true]);
    expect(['say("any");', "// any", "Promise.any(a);", 'say("//", /any"/);'].map(flagged)).toEqual([
      false,
      false,
      false,
      false,
    ]);
  });
});
