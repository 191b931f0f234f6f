import { join } from 'node:path';
import { expect } from 'chai';
import { HeaderList } from '../../src/headers.ts';
import { GatheredRows } from '../../src/manifest/gathered-rows.ts';
import type { RowNote } from '../../src/manifest/manifest-rows.ts';
import { ManifestRows } from '../../src/manifest/manifest-rows.ts';
import { rebuildManifest } from '../../src/manifest/rebuild-manifest.ts';
import { openDatabase } from '../../src/sqlite/open-database.ts';
import { auditManifest } from '../support/audit-manifest.ts';
import { newEntry, openIn, plainPolicy, put, remove } from '../support/manifest-fixtures.ts';
import { tempFolder } from '../support/temp-folder.ts';

const FOREVER = 253_402_300_799_000;
const NOW = 1_800_000_000_000;

/** Everything that a manifest says. */
function notesIn(path: string): RowNote[] {
  using rows = ManifestRows.open(path);
  return (rows?.namespaces() ?? []).flatMap((namespace) => [
    ...(rows?.purges(namespace) ?? []),
    ...(rows?.rows(namespace, undefined, 1000).notes ?? []),
  ]);
}

describe('a manifest made anew', () => {
  it('has what never changes as it was, all else stale, and what was deleted as deleted', async () => {
    await using folder = await tempFolder();
    await using made = await tempFolder();
    const target = join(made.path, 'manifest.db');
    const policy = {
      ...plainPolicy,
      staleWhileRevalidateUntil: NOW + 9,
      staleIfErrorUntil: NOW + 8,
    };
    const fresh = { policy, freshUntil: NOW + 7, staleAt: NOW + 9 };
    const zip = { namespace: 'go', rule: 'go', freshUntil: FOREVER, staleAt: FOREVER, h1: 'h1:x' };
    let before: RowNote[];
    {
      await using manifest = await openIn(folder.path);
      await manifest.commit([put('page', 0, fresh), put('old', 0, { freshUntil: NOW - 5 })]);
      await manifest.commit([put('gone'), put('m.zip', 0, zip), put('n.zip', 0, zip)]);
      await manifest.commit([remove('gone')]);
      await manifest.purge({ kind: 'key', value: 'n.zip', soft: true, actor: 'test' });
      before = notesIn(join(folder.path, 'manifest.db'));
    }
    using gathered = new GatheredRows(':memory:');
    gathered.add(before, 0);
    expect(gathered.settle()).to.equal(4);
    gathered.drop({ digest: newEntry('m.zip').digest, size: 5, rule: 'go' });
    const written = [
      ...rebuildManifest(gathered.rows(), { path: target, now: NOW, forever: FOREVER }),
    ];
    expect(written.at(-1)).to.equal(5);

    const problems: string[] = [];
    {
      const database = openDatabase(target, { readOnly: true });
      expect(auditManifest(database, problems)).to.have.length(4);
      database.close();
    }
    expect(problems).to.deep.equal([]);
    await using manifest = await openIn(made.path);
    const one = async (namespace: string, key: string) =>
      (await manifest.lookup(namespace, key))[0];
    const page = await one('web', 'page');
    expect([page?.freshUntil, page?.staleAt]).to.deep.equal([NOW, NOW + 9]);
    expect(page?.policy).to.deep.equal({ ...policy, staleWhileRevalidateUntil: 0 });
    expect(page?.headers.get('etag')).to.equal('"1"');
    expect((await one('web', 'old'))?.freshUntil).to.equal(NOW - 5);
    expect(await one('web', 'gone')).to.equal(undefined);
    const module = await one('go', 'm.zip');
    expect([module?.freshUntil, module?.h1]).to.deep.equal([FOREVER, 'h1:x']);
    expect((await one('go', 'n.zip'))?.freshUntil).to.be.lessThan(NOW + 1);
    const seen = await manifest.seen({ namespace: 'go', since: 0, limit: 10 });
    expect(seen.entries.map(({ key }) => key)).to.deep.equal(['m.zip', 'n.zip']);
    // New ones follow in order, and journals begin anew.
    const [result] = await manifest.commit([put('next')]);
    expect(result).to.deep.equal({ outcome: 'committed', jid: 4 });
    expect((await manifest.journal('web', '', 10)).rows.map(({ jid }) => jid)).to.deep.equal([
      1, 2, 3, 4,
    ]);
  });

  it('knows the tags again, and holds purges by tag', async () => {
    await using folder = await tempFolder();
    await using made = await tempFolder();
    const path = join(made.path, 'manifest.db');
    const tagged = (tags: string) => ({ headers: new HeaderList([['Surrogate-Key', tags]]) });
    const kept = [put('a', 0, tagged('x')), put('b', 0, tagged('y z')), put('c', 0, tagged('z'))];
    let before: RowNote[];
    {
      await using manifest = await openIn(folder.path);
      await manifest.commit(kept);
      before = notesIn(join(folder.path, 'manifest.db'));
      await manifest.purge({ kind: 'tag', value: 'x', soft: false, actor: 'test' });
      await manifest.purge({ kind: 'tag', value: 'y', soft: true, actor: 'test' });
      // The rows as they were before, and the purges alone.
      before.push(...notesIn(join(folder.path, 'manifest.db')).filter(({ op }) => op === 'purge'));
    }
    using gathered = new GatheredRows(':memory:');
    gathered.add(before, 0);
    expect(gathered.settle()).to.equal(2);
    const stale = [...gathered.rows()].flatMap(({ key, isStale }) => (isStale ? [key] : []));
    expect(stale).to.deep.equal(['b']);
    for (const _ of rebuildManifest(gathered.rows(), { path, now: NOW, forever: FOREVER }));
    await using manifest = await openIn(made.path);
    const purged = await manifest.purge({ kind: 'tag', value: 'z', soft: false, actor: 'test' });
    expect(purged.entries).to.equal(2);
  });

  it('counts the later manifest, the higher number, and purges of either', () => {
    using gathered = new GatheredRows(':memory:');
    const row = (key: string, jid: number): RowNote => ({
      ...{ op: 'put', namespace: 'web', jid, firstSeenAt: 1 },
      values: ['', '', '', '', '', '', '', '', 200, '', '{}', '', jid, null, '', 0, 0, 0].with(
        0,
        key,
      ),
    });
    const purge = (value: string, jid: number): RowNote => ({
      ...{ op: 'purge', namespace: 'web', jid, kind: 'prefix', value, soft: false, at: 1 },
    });
    gathered.add([row('b/2', 3), row('a/1', 9), row('a/2', 2), purge('b/', 4), row('b/1', 5)], 0);
    gathered.add([row('a/1', 1), purge('a/2', 1), row('c', 2), purge('c', 2)], 1);
    gathered.add([row('a/1', 8), row('b/1', 4)], 0);
    expect(gathered.settle()).to.equal(3);
    const live = [...gathered.rows()].filter(({ values }) => values !== undefined);
    expect(Object.fromEntries(live.map(({ key, values }) => [key, values?.[12]]))).to.deep.equal({
      'a/1': 1,
      'b/1': 5,
      c: 2,
    });
  });
});
