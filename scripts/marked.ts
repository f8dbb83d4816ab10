/** Replaces what stands between `<!-- NAME -->` and `<!-- /NAME -->` of a document. Pure. */

/** Null when the document has no such markers. */
export function replaceMarked(document: string, name: string, content: string): string | null {
  const open = `<!-- ${name} -->`;
  const close = `<!-- /${name} -->`;
  const from = document.indexOf(open);
  const to = document.indexOf(close, from);
  if (from < 0 || to < 0) return null;
  return `${document.slice(0, from + open.length)}\n${content.trim()}\n${document.slice(to)}`;
}
