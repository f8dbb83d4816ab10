/** What was said in answers and may be referred to later, for a while: bounded, and each key's apart. */

/** Of one key: the last answers of a few conversations. */
export interface MemoryLimits {
  readonly items: number;
  /** Of their JSON texts together. */
  readonly characters: number;
}

export interface ItemMemory {
  /** The one that was kept under this id for this key; null when it is not known, or not any more. */
  recall(key: string | null, id: string): unknown;
  remember(key: string | null, item: Readonly<Record<string, unknown>>): void;
}

const LIMITS: MemoryLimits = { items: 2_000, characters: 8 * 1024 ** 2 };

interface Shelf {
  readonly texts: Map<string, string>;
  characters: number;
}

/** The ones that were least lately used go first. `null` stands for all who come without a key. */
export function createItemMemory({ items, characters }: MemoryLimits = LIMITS): ItemMemory {
  const shelves = new Map<string | null, Shelf>();
  const drop = (shelf: Shelf, id: string): void => {
    shelf.characters -= shelf.texts.get(id)?.length ?? 0;
    shelf.texts.delete(id);
  };
  const put = (shelf: Shelf, id: string, text: string): void => {
    drop(shelf, id);
    shelf.texts.set(id, text);
    shelf.characters += text.length;
  };
  return {
    recall(key, id) {
      const shelf = shelves.get(key);
      const text = shelf?.texts.get(id);
      if (!shelf || text === undefined) return null;
      put(shelf, id, text);
      return JSON.parse(text);
    },
    remember(key, item) {
      const { id } = item;
      const text = JSON.stringify(item);
      if (typeof id !== "string" || text.length > characters) return;
      const shelf = shelves.get(key) ?? { texts: new Map(), characters: 0 };
      shelves.set(key, shelf);
      put(shelf, id, text);
      for (const oldest of shelf.texts.keys()) {
        if (shelf.texts.size <= items && shelf.characters <= characters) break;
        drop(shelf, oldest);
      }
    },
  };
}
