/** How many tests passed and failed, from Bun's JUnit report. */

export interface TestCount {
  readonly passed: number;
  readonly failed: number;
}

/** Reads the totals of the outermost element; skipped tests count as neither. An empty report counts nothing. */
export function countTests(junit: string): TestCount {
  const root = /<testsuites\b[^>]*>/.exec(junit)?.[0] ?? "";
  const number = (name: string): number => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(root)?.[1] ?? 0);
  const failed = number("failures") + number("errors");
  return { passed: number("tests") - failed - number("skipped"), failed };
}
