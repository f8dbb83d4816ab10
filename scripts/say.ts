/** One line of talk on stderr; Bun's console.error would paint it red on a terminal. */

export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
