/** Which models make room: the fewest whose going is enough, those at the head of the list first. Pure. */

/** Up to so many candidates all pairs are tried; beyond, the search is greedy. */
const ALL_PAIRS = 12;

/** The smallest set for which `suffices` holds; among the smallest, one whose last member stands earliest. Null when not
 *  even all of them suffice. Three and more are found greedily, and none of them could be left out. */
export function fewest(
  candidates: readonly string[],
  suffices: (chosen: readonly string[]) => boolean,
): readonly string[] | null {
  if (candidates.length === 0 || !suffices(candidates)) return null;
  for (const one of candidates) if (suffices([one])) return [one];
  if (candidates.length <= ALL_PAIRS) {
    for (const [last, second] of candidates.entries()) {
      for (const first of candidates.slice(0, last)) if (suffices([first, second])) return [first, second];
    }
  }
  return pruned(firstEnough(candidates, suffices), suffices);
}

/** Taken from the head until they suffice: all of them do. */
function firstEnough(
  candidates: readonly string[],
  suffices: (chosen: readonly string[]) => boolean,
): readonly string[] {
  let count = 1;
  while (count < candidates.length && !suffices(candidates.slice(0, count))) count++;
  return candidates.slice(0, count);
}

/** Less those that are not needed, from the end, where the most used stand. */
function pruned(chosen: readonly string[], suffices: (chosen: readonly string[]) => boolean): readonly string[] {
  return chosen.reduceRight((kept, name) => {
    const without = kept.filter((each) => each !== name);
    return without.length > 0 && suffices(without) ? without : kept;
  }, chosen);
}
