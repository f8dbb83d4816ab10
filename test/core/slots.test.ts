import { expect, test } from "bun:test";
import { slotsPulse } from "../../src/core/slots.ts";

const slots = (processed: number, decoded: number) =>
  JSON.stringify([
    {
      id: 0,
      is_processing: true,
      id_task: 3,
      n_prompt_tokens_processed: processed,
      next_token: [{ n_decoded: decoded }],
    },
    { id: 1, is_processing: false },
  ]);

test("slotsPulse() differs whenever a slot has read or written more, and only then", () => {
  expect(slotsPulse(slots(2, 5))).toBe(slotsPulse(slots(2, 5)));
  expect(slotsPulse(slots(2, 6))).not.toBe(slotsPulse(slots(2, 5)));
  expect(slotsPulse(slots(3, 5))).not.toBe(slotsPulse(slots(2, 5)));
  expect(slotsPulse("")).toBe("");
});
