import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import type { NewEntry } from '../../src/manifest/entry.ts';
import type { EntryPage, Manifest, PutChange } from '../../src/manifest/manifest.ts';
import { put, remove } from '../support/manifest-fixtures.ts';

function keys({ entries }: EntryPage): string[] {
  return entries.map(({ key }) => key);
}

function times({ entries }: EntryPage): number[] {
  return entries.map(({ firstSeenAt }) => firstSeenAt);
}

function hashed(key: string, over: Partial<NewEntry> = {}): PutChange {
  return put(key, 0, { h1: 'h1:x=', ...over });
}

/** The pages of a read until there is none, by `next`. */
async function pages(read: (after: string | undefined) => Promise<EntryPage>): Promise<string[][]> {
  const found: string[][] = [];
  let after: string | undefined;
  do {
    const page = await read(after);
    found.push(keys(page));
    after = page.next;
  } while (after !== undefined);
  return found;
}

/** What every `Manifest` promises of its lists: each entry once, in order, page by page. */
export function listContract(make: () => Promise<Manifest>): void {
  describe('lists', () => {
    let manifest: Manifest;
    beforeEach(async () => {
      manifest = await make();
    });
    afterEach(() => manifest[Symbol.asyncDispose]());

    it('lists by namespace, prefix and rule, page by page', async () => {
      const wanted = Array.from({ length: 7 }, (_, i) => `p/${i}`);
      await manifest.commit([
        ...wanted.map((key, i) => put(key, 0, { rule: i % 2 ? 'odd' : 'even' })),
        put('q', 0, { rule: 'odd' }),
        put('p/0', 0, { namespace: 'go' }),
      ]);
      const found: string[] = [];
      let after: string | undefined;
      do {
        const page = await manifest.list({ namespace: 'web', prefix: 'p/', limit: 3, after });
        found.push(...keys(page));
        after = page.next;
      } while (after !== undefined);
      expect(found).to.deep.equal(wanted);
      expect(keys(await manifest.list({ rule: 'odd', limit: 10 }))).to.deep.equal([
        'p/1',
        'p/3',
        'p/5',
        'q',
      ]);
      const both = await manifest.list({ limit: 2 });
      const next = await manifest.list({ limit: 2, after: both.next });
      expect(
        [...both.entries, ...next.entries].map((entry) => `${entry.namespace} ${entry.key}`),
      ).to.deep.equal(['go p/0', 'web p/0', 'web p/1', 'web p/2']);
      expect(await manifest.list({ limit: 2, after: 'x' }).catch(kindOf)).to.equal('invalid');
    });

    it('lists by the end of the key, with prefix and rule', async () => {
      await manifest.commit([
        ...['a.mod', 'a.zip', 'b.zip', 'b.zip/x', 'bzip', 'c.é', 'd.ZIP', 'd/e.zip'].map((key) =>
          put(key),
        ),
        put('e.zip', 0, { rule: 'other' }),
        put('a.zip', 0, { namespace: 'go' }),
      ]);
      const web = { namespace: 'web', suffix: '.zip' } as const;
      expect(await pages((after) => manifest.list({ ...web, after, limit: 2 }))).to.deep.equal([
        ['a.zip', 'b.zip'],
        ['d/e.zip', 'e.zip'],
      ]);
      const list = async (over: object): Promise<string[]> =>
        keys(await manifest.list({ ...web, limit: 9, ...over }));
      expect(await list({ prefix: 'd/' })).to.deep.equal(['d/e.zip']);
      expect(await list({ prefix: 'b' })).to.deep.equal(['b.zip']);
      expect(await list({ rule: 'other' })).to.deep.equal(['e.zip']);
      expect(await list({ suffix: 'é' })).to.deep.equal(['c.é']);
      expect(await list({ suffix: 'much longer than any key' })).to.deep.equal([]);
      expect(await list({ suffix: '' })).to.have.length(9);
      await manifest.commit([remove('b.zip')]);
      expect(await list({})).to.deep.equal(['a.zip', 'd/e.zip', 'e.zip']);
    });

    it('refuses a position of another list', async () => {
      await manifest.commit([hashed('a'), hashed('b'), hashed('a', { namespace: 'go' })]);
      const { next } = await manifest.list({ namespace: 'web', limit: 1 });
      const go = { namespace: 'go', limit: 1, after: next } as const;
      expect(await manifest.list(go).catch(kindOf)).to.equal('invalid');
      expect(await manifest.seen({ ...go, since: 0 }).catch(kindOf)).to.equal('invalid');
      const seen = await manifest.seen({ namespace: 'web', since: 0, limit: 1 });
      expect(await manifest.list({ limit: 1, after: seen.next }).catch(kindOf)).to.equal('invalid');
    });

    it('tells what has an h1 by when it was first seen, each later than the one before', async () => {
      const written = ['z', 'b.zip', 'y', 'c.zip', 'a.zip', 'x'];
      await manifest.commit(written.map((key) => hashed(key)));
      await manifest.commit([put('none'), hashed('a', { namespace: 'go' })]);
      const since = { namespace: 'web', since: 0 } as const;
      const all = await manifest.seen({ ...since, limit: 10 });
      expect(keys(all)).to.deep.equal(written);
      expect(times(all)).to.deep.equal([...new Set(times(all))].sort((a, b) => a - b));
      expect(await pages((after) => manifest.seen({ ...since, after, limit: 4 }))).to.deep.equal([
        ['z', 'b.zip', 'y', 'c.zip'],
        ['a.zip', 'x'],
      ]);
      expect(
        await pages((after) => manifest.seen({ ...since, suffix: '.zip', after, limit: 2 })),
      ).to.deep.equal([['b.zip', 'c.zip'], ['a.zip']]);
      const third = times(all)[2] as number;
      expect(keys(await manifest.seen({ ...since, since: third, limit: 2 }))).to.deep.equal([
        'y',
        'c.zip',
      ]);
      expect(await manifest.seen({ ...since, since: Date.now() + 60_000, limit: 2 })).to.deep.equal(
        { entries: [] },
      );
      expect(await manifest.seen({ namespace: 'none', since: 0, limit: 2 })).to.deep.equal({
        entries: [],
      });
      expect(await manifest.seen({ ...since, limit: 2, after: 'x' }).catch(kindOf)).to.equal(
        'invalid',
      );
    });

    it('leaves an entry at its time while it is there, and gives one that came back a new one', async () => {
      const seen = (limit = 10): Promise<EntryPage> =>
        manifest.seen({ namespace: 'web', since: 0, limit });
      await manifest.commit([put('late'), hashed('a'), hashed('b'), hashed('c')]);
      const before = times(await seen());
      const again = manifest.commit([hashed('a')]);
      expect(keys(await seen())).to.deep.equal(['a', 'b', 'c']);
      expect(times(await seen())).to.deep.equal(before);
      await again;
      expect(times(await seen())).to.deep.equal(before);
      const removed = manifest.commit([remove('b')]);
      expect(keys(await seen())).to.deep.equal(['a', 'c']);
      await removed;
      await manifest.commit([hashed('b'), hashed('late')]);
      expect(keys(await seen())).to.deep.equal(['a', 'c', 'b', 'late']);
      const last = before.at(-1) as number;
      expect(times(await seen()).slice(2)).to.satisfy((now: number[]) =>
        now.every((t) => t > last),
      );
    });

    it('misses nothing from the last time on while entries come, go and return', async () => {
      const met = new Set<string>();
      let since = 0;
      for (let round = 0; round < 12; round++) {
        const changes = Array.from({ length: 5 }, (_, i) => hashed(`k${(round * 3 + i * 7) % 20}`));
        await manifest.commit([remove(`k${round}`), ...changes]);
        const page = await manifest.seen({ namespace: 'web', since, limit: 1000 });
        for (const { key, firstSeenAt } of page.entries) met.add(`${key} ${firstSeenAt}`);
        since = times(page).at(-1) ?? since;
      }
      const { entries } = await manifest.seen({ namespace: 'web', since: 0, limit: 1000 });
      expect(entries.length).to.be.greaterThan(10);
      const missed = entries.filter(({ key, firstSeenAt }) => !met.has(`${key} ${firstSeenAt}`));
      expect(missed).to.deep.equal([]);
    });
  });
}
