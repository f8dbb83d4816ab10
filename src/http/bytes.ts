/** Reads a whole body of bounded size. */

export interface ReadOptions {
  readonly maxBytes: number;
  /** Told of each chunk. */
  readonly onChunk?: () => void;
}

/** Null when the body is larger; the rest of it is then not read. */
export async function readBytes(
  body: ReadableStream<Uint8Array> | null,
  { maxBytes, onChunk }: ReadOptions,
): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    onChunk?.();
    size += chunk.length;
    if (size > maxBytes) return null;
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : concat(chunks, size);
}

function concat(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
