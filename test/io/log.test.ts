/** How the talk on stderr looks. */
import { describe, expect, test } from "bun:test";
import { createLogger, type LogLevel, styleOf } from "../../src/io/log.ts";

function logged(style: Parameters<typeof createLogger>[1], level: LogLevel = "info") {
  const lines: string[] = [];
  return { lines, log: createLogger(level, style, (text) => lines.push(text)) };
}

const PLAIN = { terminal: false, colour: false, timestamp: false };
const TERMINAL = { terminal: true, colour: true, timestamp: false };

describe("createLogger()", () => {
  test("writes one event as one line of level, message and fields, and quotes values that have spaces", () => {
    const { lines, log } = logged(PLAIN);
    log.info("loading m", { layers: "9 on a, 8 on b", deadline: "2s", port: 1, empty: "", absent: undefined });
    log.warn("Cannot use it\n  install another one");
    expect(lines).toEqual([
      'info  loading m layers="9 on a, 8 on b" deadline=2s port=1\n',
      "warn  Cannot use it; install another one\n",
    ]);
  });

  test("leaves out what lies below its level", () => {
    const { lines, log } = logged(PLAIN, "warn");
    log.debug("a");
    log.info("b");
    log.warn("c");
    log.error("d");
    expect(lines).toEqual(["warn  c\n", "error d\n"]);
  });

  test("puts the time in front where nobody else keeps it", () => {
    const { lines, log } = logged({ ...PLAIN, timestamp: true });
    log.info("ready");
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info {2}ready\n$/);
  });

  test("colours only the level at a terminal, and gives a hint its own line, below the message", () => {
    const { lines, log } = logged(TERMINAL);
    log.warn("Cannot use it\n  install another one");
    expect(lines).toEqual(["\x1b[33mwarn \x1b[39m Cannot use it\n        install another one\n"]);
  });

  test("shows control characters of models and peers as question marks", () => {
    const { lines, log } = logged(PLAIN);
    log.info("loading \x1b[2Jm\r", { reason: "a\x07b" });
    expect(lines).toEqual(["info  loading ?[2Jm? reason=a?b\n"]);
  });
});

test("styleOf() uses colours at terminals only, unless NO_COLOR or TERM=dumb forbids them", () => {
  expect(styleOf({ isTTY: true }, {})).toEqual(TERMINAL);
  expect(styleOf({ isTTY: true }, { NO_COLOR: "1" }).colour).toBe(false);
  expect(styleOf({ isTTY: true }, { TERM: "dumb" }).colour).toBe(false);
  expect(styleOf({}, {})).toEqual({ terminal: false, colour: false, timestamp: true });
  expect(styleOf({}, { JOURNAL_STREAM: "8:1" }).timestamp).toBe(false);
});
