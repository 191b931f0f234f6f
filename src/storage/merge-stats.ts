import type { Stat } from './backend.ts';

/** Two lists in order of digest as one, each digest once; the first list's where both have it. */
export async function* mergeStats(
  first: AsyncIterable<Stat>,
  second: AsyncIterable<Stat>,
): AsyncGenerator<Stat> {
  const lists = [first[Symbol.asyncIterator](), second[Symbol.asyncIterator]()] as const;
  const next = async (list: AsyncIterator<Stat>): Promise<Stat | undefined> => {
    const { done, value } = await list.next();
    return done === true ? undefined : value;
  };
  try {
    let [one, other] = await Promise.all([next(lists[0]), next(lists[1])]);
    while (one !== undefined || other !== undefined) {
      const isFirst = other === undefined || (one !== undefined && one.digest <= other.digest);
      const chosen = (isFirst ? one : other) as Stat;
      yield chosen;
      if (one?.digest === chosen.digest) one = await next(lists[0]);
      if (other?.digest === chosen.digest) other = await next(lists[1]);
    }
  } finally {
    await Promise.all(lists.map(async (list) => await list.return?.()));
  }
}
