import { expect, test } from "bun:test";
import { isModelId, toModelId } from "../../src/core/model-id.ts";

test("toModelId() names a model by its file, without what an id may not have", () => {
  expect(toModelId("Llama-3.1-70B.Q4_K_M.gguf")).toBe("Llama-3.1-70B.Q4_K_M");
  expect(toModelId("a,b\nc.GGUF")).toBe("a_b_c");
  expect(isModelId(toModelId("a,b\nc.GGUF"))).toBe(true);
});
