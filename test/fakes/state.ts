/** Files of state in memory, as JSON keeps them. */
import type { StatePort } from "../../src/engine/ports.ts";

export interface FakeState extends StatePort {
  readonly files: Map<string, unknown>;
}

export function createFakeState(): FakeState {
  const files = new Map<string, unknown>();
  return {
    files,
    read: async (name) => files.get(name) ?? null,
    write: async (name, value) => void files.set(name, JSON.parse(JSON.stringify(value))),
  };
}
