/** The talk on stderr: one line per event, `level message key=value`, through consola. */
import { createConsola, LogLevels } from "consola/core";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface LogStyle {
  /** For a person at a terminal: colour, and a hint on its own line. Else one event is one line, for grep and journals. */
  readonly terminal: boolean;
  readonly colour: boolean;
  readonly timestamp: boolean;
}

const COLOURS: Readonly<Record<string, number>> = { debug: 90, info: 36, warn: 33, error: 31 };

/** A logger that writes lines of `level` and above; stdout stays free for answers. */
export function createLogger(
  level: LogLevel,
  style: LogStyle = styleOf(process.stderr, process.env),
  output: (text: string) => void = (text) => void process.stderr.write(text),
) {
  // A reporter of our own: consola's puts blank lines around warnings, and icons in front where nobody sees them.
  const talk = createConsola({
    level: LogLevels[level],
    reporters: [{ log: ({ args, date, type }) => output(formatLine(String(args[0]), { style, date, level: type })) }],
  });
  const write = (at: LogLevel) => (message: string, fields?: Record<string, unknown>) =>
    talk[at](withFields(message, fields));
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}

/** systemd's journal keeps the time itself, and a person at the terminal has a clock. */
export function styleOf(
  stream: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>>,
): LogStyle {
  const terminal = stream.isTTY === true;
  return {
    terminal,
    colour: terminal && !env.NO_COLOR && env.TERM !== "dumb",
    timestamp: !terminal && !env.JOURNAL_STREAM,
  };
}

interface Line {
  readonly style: LogStyle;
  readonly date: Date;
  readonly level: string;
}

function formatLine(text: string, { style, date, level }: Line): string {
  const word = level.padEnd(5);
  const shown = style.colour ? `\x1b[${COLOURS[level] ?? 39}m${word}\x1b[39m` : word;
  const body = style.terminal
    ? text.replaceAll("\n", `\n${" ".repeat(word.length + 1)}`)
    : text.replace(/\s*\n\s*/g, "; ");
  return `${style.timestamp ? `${date.toISOString()} ` : ""}${shown} ${printable(body)}\n`;
}

/** What a model file or a peer says may hold terminal codes. */
function printable(text: string): string {
  return text.replace(/(?!\n)\p{Cc}/gu, "?");
}

function withFields(message: string, fields: Record<string, unknown> = {}): string {
  const words = Object.entries(fields)
    .filter(([, value]) => value !== undefined && value !== "")
    .map(([key, value]) => `${key}=${quoted(value)}`);
  return [message, ...words].join(" ");
}

function quoted(value: unknown): string {
  if (typeof value !== "string") return String(value);
  return /[\s"=]/.test(value) ? JSON.stringify(value) : value;
}
