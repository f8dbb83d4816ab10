/** Breaks words that come one by one into lines. Pure. */

/** What to write for each piece: the piece itself, with a line break in place of a space where the line would be too long. */
export function createWrapper(indent: string, width: number): (piece: string) => string {
  let column = 0;
  return (piece) => {
    let written = "";
    for (const word of piece.split(/(?= )/)) {
      if (column === 0 || column + word.length > width) {
        written += `${column === 0 ? "" : "\n"}${indent}${word.trimStart()}`;
        column = indent.length + word.trimStart().length;
      } else {
        written += word;
        column += word.length;
      }
    }
    return written;
  };
}
