import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { collectGarbage, type GcParts } from '../src/gc.ts';
import { silentLogger } from '../src/log.ts';
import { processIdentity } from '../src/process-identity.ts';
import type { Shared, Stat } from '../src/storage/backend.ts';
import { digestOf } from '../src/storage/digest.ts';
import { MemoryBackend } from '../src/storage/memory-backend.ts';
import type { GcRow } from '../src/storage-schemas.ts';
import { incomingOf } from './support/incoming.ts';
import { put, remove } from './support/manifest-fixtures.ts';
import { seededBytes } from './support/seeded-bytes.ts';
import { flipBit, sorted, type UpkeepPlace, upkeepPlace } from './support/upkeep-place.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const DEAD = '999999-1-0';

async function collect(
  place: UpkeepPlace,
  dryRun = false,
  parts: Partial<GcParts> = {},
): Promise<GcRow[]> {
  const config = { gc: { orphanGraceMs: HOUR_MS, quarantineMs: 7 * DAY_MS } };
  const backends = [['local', place.backend]] as const;
  const items = await Array.fromAsync(
    collectGarbage({ ...place, config, backends, ...parts }, { dryRun }),
  );
  return items.filter((item): item is GcRow => item.what !== 'seen');
}

const named = (rows: readonly GcRow[], what: GcRow['what']): string[] =>
  rows.filter((row) => row.what === what).map(({ name }) => name);

describe('collectGarbage', () => {
  it('S10: lists, then removes, only bodies that no entry names and that are old enough', async () => {
    await using place = await upkeepPlace();
    const { backend, manifest, clock } = place;
    const kept = [await place.entry('small', 100), await place.entry('large', 100_000)];
    const orphans = [await place.body(200, 'o1'), await place.body(200_000, 'o2')];
    await place.entry('deleted', 300_000);
    await manifest.commit([remove('deleted')]);
    const deleted = digestOf(seededBytes(300_000, 'deleted'));
    const expected = await place.body(70_000, 'expected');
    const unexpect = manifest.expect(expected.digest);
    clock.advance(2 * HOUR_MS);
    const young = [await place.body(300, 'y1'), await place.body(80_000, 'y2')];
    const goes = [...orphans.map(({ digest }) => digest), deleted].sort();

    const dry = await collect(place, true);
    expect(named(dry, 'orphan')).to.deep.equal(goes);
    expect(dry.every(({ outcome }) => outcome === 'would remove')).to.equal(true);
    expect(await Array.fromAsync(backend.list())).to.have.length(8);

    const rows = await collect(place);
    expect(named(rows, 'orphan')).to.deep.equal(goes);
    expect(rows.map(({ size }) => size).sort((a, b) => a - b)).to.deep.equal([
      200, 200_000, 300_000,
    ]);
    const left = (await Array.fromAsync(backend.list())).map(({ digest }) => digest);
    expect(left).to.deep.equal(sorted(...kept, ...young, expected));
    expect(await collect(place)).to.deep.equal([]);
    unexpect();
    expect(named(await collect(place), 'orphan')).to.deep.equal([expected.digest]);
  });

  it('leaves a body whose row is handed in and not yet written, and one that is held in memory alone', async () => {
    await using place = await upkeepPlace();
    const pending = await place.body(100_000, 'pending');
    const held = await place.body(90_000, 'held');
    place.clock.advance(2 * HOUR_MS);
    const committed = place.manifest.commit([put('pending', 0, { digest: pending.digest })]);
    const { entry } = put('held', 0, { digest: held.digest });
    place.manifest.hold(entry);
    expect(await collect(place)).to.deep.equal([]);
    await committed;
    expect(await collect(place)).to.deep.equal([]);
  });

  it('lets go of nothing that is named at the last moment', async () => {
    await using place = await upkeepPlace();
    const { digest } = await place.body(100_000, 'late');
    place.clock.advance(2 * HOUR_MS);
    let asked = 0;
    const manifest = Object.create(place.manifest) as typeof place.manifest;
    manifest.isReferenced = async () => asked++ > 0;
    expect(await collect(place, false, { manifest })).to.deep.equal([]);
    expect(asked).to.equal(2);
    expect(await place.backend.stat(digest)).to.not.equal(undefined);
  });

  it('removes files of dead processes and none of a live one', async () => {
    await using place = await upkeepPlace();
    const spool = join(place.folder, 'spool');
    const tmp = join(place.folder, 'blobs', 'tmp');
    for (const owner of [DEAD, processIdentity()]) {
      await mkdir(join(spool, owner), { recursive: true });
      await mkdir(tmp, { recursive: true });
      await writeFile(join(spool, owner, '0'), 'spooled');
      await writeFile(join(tmp, `${owner}.x`), 'temporary');
    }
    const dry = await collect(place, true);
    expect(named(dry, 'spool')).to.deep.equal([join(DEAD, '0')]);
    expect(named(dry, 'leftover')).to.deep.equal([join('tmp', `${DEAD}.x`)]);
    expect(await readdir(tmp)).to.have.length(2);
    const rows = await collect(place);
    expect(rows.map(({ what, name, size }) => [what, name, size])).to.deep.equal([
      ['spool', join(DEAD, '0'), 7],
      ['leftover', join('tmp', `${DEAD}.x`), 9],
    ]);
    expect(await readdir(spool)).to.deep.equal([processIdentity()]);
    expect(await readdir(tmp)).to.deep.equal([`${processIdentity()}.x`]);
  });

  it('counts a file that a crash left without a row, and removes it when it is of no use', async () => {
    await using place = await upkeepPlace();
    const bad = join(place.folder, 'blobs', 'ab', 'ab'.repeat(32));
    await mkdir(join(bad, '..'), { recursive: true });
    await writeFile(bad, 'not that body');
    const [row, ...more] = await collect(place);
    expect(more).to.deep.equal([]);
    expect(row).to.include({ what: 'leftover', count: 1, outcome: 'removed' });
    expect(await readdir(join(bad, '..'))).to.deep.equal([]);
  });

  it('removes quarantined bodies after their time', async () => {
    await using place = await upkeepPlace();
    const { digest } = await place.entry('bad', 100_000);
    await flipBit(place.fileOf(digest), 5);
    expect(await place.backend.scrub(digest)).to.equal('damaged');
    place.clock.advance(6 * DAY_MS);
    expect(await collect(place)).to.deep.equal([]);
    place.clock.advance(2 * DAY_MS);
    expect(named(await collect(place, true), 'quarantined')).to.deep.equal([digest]);
    expect(named(await collect(place), 'quarantined')).to.deep.equal([digest]);
    expect(await Array.fromAsync(place.backend.quarantined())).to.deep.equal([]);
  });

  it('in a shared storage removes only what this node put there', async () => {
    await using place = await upkeepPlace();
    const { clock, metrics } = place;
    class SharedMemory extends MemoryBackend implements Shared {
      async *listOwn(): AsyncIterable<Stat> {
        for await (const stat of this.list()) if (stat.size === 100) yield stat;
      }
    }
    await using backend = new SharedMemory({ name: 'all', clock, metrics, log: silentLogger });
    const own = await backend.put(incomingOf(seededBytes(100, 'own')));
    const foreign = await backend.put(incomingOf(seededBytes(200, 'foreign')));
    clock.advance(2 * HOUR_MS);
    const rows = await collect(place, false, { backends: [['all', backend]] });
    expect(named(rows, 'orphan')).to.deep.equal([own.digest]);
    expect(await backend.stat(foreign.digest)).to.not.equal(undefined);
  });

  it('goes on with the rest when one storage fails', async () => {
    await using place = await upkeepPlace();
    const orphan = await place.body(100_000, 'orphan');
    const { clock, metrics } = place;
    class Broken extends MemoryBackend {
      override list(): AsyncIterable<Stat> {
        throw new Error('out of order');
      }
    }
    await using broken = new Broken({ name: 'broken', clock, metrics, log: silentLogger });
    clock.advance(2 * HOUR_MS);
    const backends = [
      ['broken', broken],
      ['local', place.backend],
    ] as const;
    const rows = await collect(place, false, { backends });
    expect(rows.map(({ storage, outcome, problem }) => [storage, outcome, problem])).to.deep.equal([
      ['broken', 'failed', 'out of order'],
      ['local', 'removed', undefined],
    ]);
    expect(await place.backend.stat(orphan.digest)).to.equal(undefined);
  });
});
