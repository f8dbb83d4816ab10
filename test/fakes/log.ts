/** A log that keeps what it was told. */
import type { Logger } from "../../src/engine/ports.ts";

export interface LogRecord {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

export interface RecordedLog extends Logger {
  readonly records: readonly LogRecord[];
  /** The messages of `info` and worse, as `level message`. */
  lines(): readonly string[];
}

export function createRecordedLog(): RecordedLog {
  const records: LogRecord[] = [];
  const at =
    (level: LogRecord["level"]) =>
    (message: string, fields: Record<string, unknown> = {}): void => {
      records.push({ level, message, fields });
    };
  return {
    records,
    lines: () => records.filter(({ level }) => level !== "debug").map(({ level, message }) => `${level} ${message}`),
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
  };
}
