/** Keys without effect are named once; the schema and the example agree with what the program accepts. */
import { describe, expect, test } from "bun:test";
import { z } from "zod";
import example from "../../config.example.json" with { type: "json" };
import { configJsonSchema } from "../../src/core/config-schema.ts";
import { LATER_KEYS } from "../../src/core/config-schema-own.ts";
import { keyWarnings } from "../../src/core/config-unknown.ts";
import { editDistance, nearest } from "../../src/core/nearest.ts";
import { accepted, FOUR } from "./config-support.ts";

describe("keyWarnings()", () => {
  test("names all unknown keys in one line, each with the nearest known key of its place", () => {
    const file = {
      rpc_backend: [],
      zzzzzz: 1,
      synaptic: {
        contxtSize: 1,
        backends: [{ endpoint: "a:1", exclud: true }],
        models: { settings: { m: { kvtype: "f16" } } },
        probe: { intervall: 3 },
      },
    };
    expect(keyWarnings(file)).toEqual([
      "Unknown keys have no effect: rpc_backend (did you mean rpc_backends?), zzzzzz, " +
        "synaptic.contxtSize (did you mean contextSize?), synaptic.backends[0].exclud (did you mean exclude?), " +
        "synaptic.models.settings.m.kvtype (did you mean kvType?), synaptic.probe.intervall (did you mean intervalMs?)",
    ]);
  });

  test("sends our keys at the top level where they belong", () => {
    expect(keyWarnings({ placement: "spread" })).toEqual([
      "Unknown keys have no effect: placement (did you mean synaptic.placement?)",
    ]);
  });

  test("names keys of later versions as such, once", () => {
    const settings = { m: Object.fromEntries(LATER_KEYS.settings.map((key) => [key, "x"])) };
    const [line, ...more] = keyWarnings({
      synaptic: { backends: [{ endpoint: "a", mac: "x" }], models: { settings } },
    });
    expect(more).toEqual([]);
    expect(line).toStartWith("Not used yet in this version of synaptic: synaptic.");
    for (const key of ["backends[0].mac", ...LATER_KEYS.settings]) expect(line).toContain(key);
  });

  test("stays short however many keys there are, and however long", () => {
    const file = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`${"k".repeat(500)}${index}`, 1]));
    const [line = ""] = keyWarnings(file);
    expect(line.length).toBeLessThan(3000);
    expect(line).toEndWith("and 4980 more");
  });

  test("reach the resolved configuration once", () => {
    expect(accepted({ foo: 1 }).warnings).toEqual(["Unknown keys have no effect: foo"]);
  });
});

describe("nearest()", () => {
  test("counts a swap of neighbours as one edit", () => {
    expect(editDistance("prot", "port")).toBe(1);
    expect(editDistance("kitten", "sitting")).toBe(3);
    expect(editDistance("", "abc")).toBe(3);
  });

  test("finds none when nothing is near", () => {
    expect(nearest("zebra", ["host", "port"])).toBeNull();
    expect(nearest("x".repeat(1000), ["x".repeat(1000)])).toBeNull();
  });
});

describe("config.example.json", () => {
  test("is accepted without a warning", () => {
    expect(accepted(example).warnings).toEqual([]);
  });

  test("has the seed's four backends", () => {
    expect(example.rpc_backends).toEqual(FOUR);
  });

  test("holds to the printed JSON Schema, read back by itself", () => {
    const printed = z.fromJSONSchema(JSON.parse(JSON.stringify(configJsonSchema())));
    expect(printed.safeParse(example).success).toBe(true);
    for (const wrong of [
      { synaptic: { contxtSize: 1 } },
      { rpc_backends: [{ host: "http://x" }] },
      { rpc_backends: null },
    ]) {
      expect(printed.safeParse(wrong).success).toBe(false);
    }
  });
});

describe("configJsonSchema()", () => {
  test("describes every key, theirs and ours", () => {
    const nameless: string[] = [];
    const visit = (node: unknown, path: string): void => {
      if (typeof node !== "object" || node === null) return;
      if ("properties" in node && typeof node.properties === "object" && node.properties !== null) {
        for (const [key, property] of Object.entries(node.properties)) {
          if (typeof property.description !== "string") nameless.push(`${path}.${key}`);
        }
      }
      for (const [key, inner] of Object.entries(node)) visit(inner, `${path}.${key}`);
    };
    visit(configJsonSchema(), "");
    expect(nameless).toEqual([]);
  });
});
