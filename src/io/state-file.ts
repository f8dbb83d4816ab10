/** What synaptic remembers between its runs: one JSON file for each name, shared by all synaptics of a user. */
import { randomUUID } from "node:crypto";
import { mkdir, open, rename, rm, writeFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";

export interface StateOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute. */
  readonly home: string;
  readonly log: { debug(message: string): void; warn(message: string): void };
}

export interface StateFiles {
  read(name: string): Promise<unknown>;
  write(name: string, value: unknown): Promise<void>;
}

/** Far above what a thousand backends need. */
const LARGEST_BYTES = 4 * 1024 ** 2;
/** A home on a network share that went away must not hold anything up. */
const DEADLINE_MS = 2_000;

/** Files in $XDG_STATE_HOME/synaptic or ~/.local/state/synaptic. Nothing depends on them: neither call ever rejects. */
export function createStateFiles({ env, home, log }: StateOptions): StateFiles {
  const xdg = env.XDG_STATE_HOME;
  const base = xdg && isAbsolute(xdg) ? xdg : join(home, ".local", "state");
  const folder = join(base, "synaptic");
  const told = new Set<string>();
  const pathOf = (name: string) => join(folder, `${name}.json`);

  return {
    /** What was written last under this name; null when nothing was, or it cannot be used. */
    async read(name) {
      const path = pathOf(name);
      const text = await within(readSmall(path)).catch((error: unknown) => {
        if (!isMissing(error)) log.debug(`cannot read ${path}: ${detailOf(error)}`);
        return null;
      });
      if (text === null) return null;
      try {
        return JSON.parse(text);
      } catch {
        if (!told.has(path)) log.warn(`${path} is damaged: what it remembered is lost, and it is written anew`);
        told.add(path);
        return null;
      }
    },
    /** Whole or not at all, for whoever reads meanwhile. */
    async write(name, value) {
      const path = pathOf(name);
      const part = `${path}.${randomUUID()}.part`;
      try {
        await within(writeWhole({ folder, part, path }, `${JSON.stringify(value, null, 2)}\n`));
      } catch (error) {
        log.debug(`cannot write ${path}, so it is forgotten at the end: ${detailOf(error)}`);
      }
    },
  };
}

interface Places {
  readonly folder: string;
  readonly part: string;
  readonly path: string;
}

async function writeWhole({ folder, part, path }: Places, text: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeFile(part, text, { mode: 0o600 });
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true }).catch(() => {});
    throw error;
  }
}

/** What comes too late goes on unwatched. */
async function within<T>(work: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`no answer from the disk within ${DEADLINE_MS / 1000} s`)),
    DEADLINE_MS,
  );
  return await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** What is too large is read up to the limit, and so is damaged. */
async function readSmall(path: string): Promise<string> {
  const handle = await open(path, "r");
  try {
    const buffer = new Uint8Array(LARGEST_BYTES);
    const { bytesRead } = await handle.read(buffer, 0, LARGEST_BYTES, 0);
    return new TextDecoder().decode(buffer.subarray(0, bytesRead));
  } finally {
    await handle.close();
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function detailOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
