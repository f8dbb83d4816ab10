/** Reads the GGUF header of one file: bounded, and in growing steps. */
import { type FileHandle, open, stat } from "node:fs/promises";
import { SynapticError } from "../core/errors.ts";
import { type GgufHeader, parseGgufHeader } from "../core/gguf.ts";
import { MAX_HEADER_BYTES } from "../core/gguf-reader.ts";

/** Most headers fit; the largest known vocabularies take 10 MiB. */
const FIRST_READ_BYTES = 1024 ** 2;

/** `model_unreadable` with the file's name and what is wrong with it. */
export function unreadable(path: string, detail: string, hint?: string, cause?: unknown): SynapticError {
  return new SynapticError("model_unreadable", `Cannot read model ${path}: ${detail}`, {
    ...(hint ? { hint } : {}),
    cause,
  });
}

/**
 * Reads and checks the header of one file, which may be a part of a split model; the caller sets the deadline.
 * @throws SynapticError `model_unreadable`
 */
export async function readGgufHeader(path: string): Promise<GgufHeader> {
  try {
    return await readHeader(path);
  } catch (cause) {
    if (cause instanceof SynapticError) throw cause;
    const [detail, hint] = failure(cause);
    throw unreadable(path, detail, hint, cause);
  }
}

async function readHeader(path: string): Promise<GgufHeader> {
  const { size } = await regularFile(path);
  const handle = await open(path, "r");
  try {
    return await parseFrom(handle, path, size);
  } finally {
    await handle.close();
  }
}

/** Before opening, since opening a named pipe would wait for its writer. */
async function regularFile(path: string): Promise<{ readonly size: number }> {
  const found = await stat(path);
  if (found.isDirectory()) throw unreadable(path, "it is a directory", "name a .gguf file in it");
  if (!found.isFile()) throw unreadable(path, "it is no regular file", "name a .gguf file");
  if (found.size === 0) throw unreadable(path, "file is empty", "download or copy the model again");
  return found;
}

async function parseFrom(handle: FileHandle, path: string, size: number): Promise<GgufHeader> {
  let bytes = new Uint8Array(0);
  let wanted = FIRST_READ_BYTES;
  for (;;) {
    bytes = await readUpTo(handle, bytes, Math.min(size, wanted));
    const result = parseGgufHeader(bytes, size);
    if (result.tag === "ok") return result.header;
    if (result.tag === "bad") throw unreadable(path, result.reason, hintFor(result.reason));
    // The parser bounds `atLeast` by the file and by its largest header; doubling keeps reading again from the start linear.
    if (bytes.length < Math.min(size, wanted)) throw unreadable(path, "file shrank while it was read");
    wanted = Math.max(result.atLeast, Math.min(bytes.length * 2, MAX_HEADER_BYTES));
  }
}

async function readUpTo(handle: FileHandle, have: Uint8Array, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  bytes.set(have);
  let filled = have.length;
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

function hintFor(reason: string): string {
  if (reason.startsWith("file is truncated")) return "download or copy the model again";
  if (reason.startsWith("magic is")) return "synaptic shards GGUF files only";
  return "convert it again with a current llama.cpp, or download it again";
}

/** What a failed system call means, and what to do. */
function failure(cause: unknown): [detail: string, hint?: string] {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  if (code === "ENOENT") return ["it does not exist", "check the path"];
  if (code === "ENOTDIR") return ["a part of its path is no directory", "check the path"];
  if (code === "EACCES" || code === "EPERM") return ["permission denied", "let the user that runs synaptic read it"];
  if (code === "ELOOP") return ["its symbolic links lead in a circle", "check the path"];
  return [cause instanceof Error ? cause.message : String(cause)];
}
