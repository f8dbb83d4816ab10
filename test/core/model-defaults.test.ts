/** What a model says by itself, in the places that a request leaves open. */
import { expect, test } from "bun:test";
import { NO_DEFAULTS, withDefaults } from "../../src/core/model-defaults.ts";

const user = { role: "user", content: "Hi" };
const own = { system: "Be kind.", stop: ["<end>"] };

test("withDefaults() begins a conversation with the model's system text, and ends answers at its stop words", () => {
  expect(withDefaults("chat", { messages: [user], temperature: 0 }, own)).toEqual({
    messages: [{ role: "system", content: "Be kind." }, user],
    temperature: 0,
    stop: ["<end>"],
  });
});

test("withDefaults() leaves what the request says itself", () => {
  for (const role of ["system", "developer"]) {
    const fields = { messages: [{ role, content: "Be brief." }, user], stop: "x" };
    expect(withDefaults("chat", fields, own)).toBe(fields);
  }
  expect(withDefaults("chat", { messages: [user], stop: null }, own)).toMatchObject({ stop: ["<end>"] });
});

test("withDefaults() puts no system text before a prompt by itself, and touches nothing where there is nothing to fill in", () => {
  expect(withDefaults("completion", { prompt: "Once" }, own)).toEqual({ prompt: "Once", stop: ["<end>"] });
  const fields = { messages: [user] };
  expect(withDefaults("chat", fields, NO_DEFAULTS)).toBe(fields);
  for (const odd of [{}, { messages: 7 }, { messages: [null, "x"] }]) {
    expect(() => withDefaults("chat", odd, own)).not.toThrow();
  }
});
