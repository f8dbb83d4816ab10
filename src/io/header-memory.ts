/** Remembers what was found in files' headers for as long as the files stay the same. */
import { stat } from "node:fs/promises";
import { SynapticError } from "../core/errors.ts";

const MAX_REMEMBERED = 1_000;

export class HeaderMemory<T> {
  readonly #look: (path: string) => Promise<T>;
  readonly #known = new Map<string, Promise<T>>();

  /** `look` rejects with `model_unreadable`; with a cause when it is not the file's content that is wrong. */
  constructor(look: (path: string) => Promise<T>) {
    this.#look = look;
  }

  /** What a look into the file finds, unless `instead` settles first: then the look goes on for the next who asks. What
   *  is known already comes first in any case. */
  async ask<U>(path: string, instead: Promise<U>): Promise<T | U> {
    // It may be rejected before anybody waits for it.
    instead.catch(() => {});
    const found = await stat(path).catch(() => null);
    // Why it is not there is said by the look.
    if (!found) return await this.#look(path);
    const { size, mtimeMs, ctimeMs, ino } = found;
    const key = [path, size, mtimeMs, ctimeMs, ino].join(":");
    return await Promise.race([this.#known.get(key) ?? this.#start(key, path), instead]);
  }

  #start(key: string, path: string): Promise<T> {
    if (this.#known.size >= MAX_REMEMBERED) this.#known.clear();
    const verdict = this.#look(path);
    this.#known.set(key, verdict);
    verdict.catch((error: unknown) => {
      // What the file holds stays as it is; that it could not be read may pass.
      if (!(error instanceof SynapticError) || error.cause !== undefined) this.#known.delete(key);
    });
    return verdict;
  }
}
