/** The speeds that were measured, by this synaptic or by others of the same user, now or before. */

import type { BackendSnapshot, EngineFacts } from "../core/snapshot.ts";
import type { Timing } from "../core/speed.ts";
import {
  backendKey,
  buildOf,
  freshTiming,
  headKey,
  mergeBooks,
  readBook,
  type SpeedBook,
  writeBook,
} from "../core/speed-book.ts";
import type { StatePort } from "./ports.ts";

export interface Speeds {
  /** Takes in what others have written since. */
  load(): Promise<void>;
  /** Null until these devices were measured there by the llama-server in use. */
  ofBackend(backend: Pick<BackendSnapshot, "endpoint" | "devices">): Timing | null;
  ofHead(): Timing | null;
  /** Remembers a timing, also for others and for the next start. */
  keepBackend(backend: Pick<BackendSnapshot, "endpoint" | "devices">, timing: Timing): Promise<void>;
  keepHead(timing: Timing): Promise<void>;
}

export interface SpeedsOptions {
  readonly state: StatePort;
  /** The llama-server in use; null until it is known. */
  readonly engine: () => EngineFacts | null;
  readonly onChange: () => void;
}

const NAME = "speeds";

/** Starts empty. What is written is merged into what is there, so that a timing that another one's write took away comes
 *  back with the next. */
export function createSpeeds({ state, engine, onChange }: SpeedsOptions): Speeds {
  let book: SpeedBook = new Map();

  const take = (more: SpeedBook): void => {
    book = mergeBooks(book, more);
    onChange();
  };
  const load = async (): Promise<void> => take(readBook(await state.read(NAME)));
  const keep = async (key: string, timing: Timing): Promise<void> => {
    take(new Map([[key, timing]]));
    await load();
    await state.write(NAME, writeBook(book));
  };
  const find = (key: string): Timing | null => {
    const facts = engine();
    return facts && freshTiming(book, key, buildOf(facts));
  };
  const keyOfHead = () => headKey(engine()?.localDevices ?? []);

  return {
    load,
    ofBackend: ({ endpoint, devices }) => find(backendKey(endpoint, devices)),
    ofHead: () => find(keyOfHead()),
    keepBackend: ({ endpoint, devices }, timing) => keep(backendKey(endpoint, devices), timing),
    keepHead: (timing) => keep(keyOfHead(), timing),
  };
}
