/** `synaptic config schema`: prints the JSON Schema of the configuration file. */
import { configJsonSchema } from "../core/config-schema.ts";

/** Writes the schema as JSON and returns the exit code. */
export function configSchemaCommand(write: (text: string) => void): number {
  write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
  return 0;
}
