/** The talk on stderr: one line per event, `message key=value`, through consola. */
import { createConsola, LogLevels } from "consola";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** A logger that writes lines of `level` and above; stdout stays free for answers. */
export function createLogger(level: LogLevel) {
  const talk = createConsola({ level: LogLevels[level], stdout: process.stderr, stderr: process.stderr });
  const write = (at: LogLevel) => (message: string, fields?: Record<string, unknown>) =>
    talk[at](format(message, fields));
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}

function format(message: string, fields: Record<string, unknown> = {}): string {
  const words = Object.entries(fields)
    .filter(([, value]) => value !== undefined && value !== "")
    .map(([key, value]) => `${key}=${typeof value === "string" && /\s/.test(value) ? JSON.stringify(value) : value}`);
  return [message, ...words].join(" ");
}
