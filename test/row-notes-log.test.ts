import { join } from 'node:path';
import { expect } from 'chai';
import { ProxyError } from '../src/errors.ts';
import { GatheredRows } from '../src/manifest/gathered-rows.ts';
import { ManifestRows } from '../src/manifest/manifest-rows.ts';
import type { SqliteManifest } from '../src/manifest/sqlite-manifest.ts';
import { gatherNotes } from '../src/reindex-notes.ts';
import { NotesLog } from '../src/row-notes-log.ts';
import { groupSegments } from '../src/row-notes-names.ts';
import type { Note, Notes } from '../src/storage/notes.ts';
import { FakeClock } from './support/fake-clock.ts';
import { openIn, put, remove } from './support/manifest-fixtures.ts';
import { Random } from './support/random.ts';
import { type TempFolder, tempFolder } from './support/temp-folder.ts';

const OWNER = 'caje-0123456789abcdef';
const DAY_MS = 86_400_000;

/** Notes in memory that fail from a chosen call on, as a process does that dies there. */
class BrittleNotes implements Notes {
  readonly kept = new Map<string, Buffer>();
  /** Bytes that were written. */
  written = 0;
  /** Writes and removals until it fails. */
  left = Number.POSITIVE_INFINITY;

  async owners(): Promise<readonly string[]> {
    return await Promise.resolve([OWNER]);
  }

  async list(): Promise<readonly Note[]> {
    const names = [...this.kept.keys()].sort();
    return await Promise.resolve(
      names.map((name) => ({ name, size: this.kept.get(name)?.length ?? 0 })),
    );
  }

  async read(_: string, name: string): Promise<Buffer | undefined> {
    return await Promise.resolve(this.kept.get(name));
  }

  async write(_: string, name: string, bytes: Buffer): Promise<void> {
    await this.#step();
    this.kept.set(name, bytes);
    this.written += bytes.length;
  }

  async remove(_: string, name: string): Promise<void> {
    await this.#step();
    this.kept.delete(name);
  }

  async #step(): Promise<void> {
    this.left -= 1;
    await Promise.resolve();
    if (this.left < 0) throw new ProxyError('unavailable', 'test', 'away');
  }
}

describe('notes of rows', () => {
  let folder: TempFolder;
  let manifest: SqliteManifest;
  let notes: BrittleNotes;
  let clock: FakeClock;

  beforeEach(async () => {
    folder = await tempFolder();
    manifest = await openIn(folder.path);
    notes = new BrittleNotes();
    clock = new FakeClock();
  });

  afterEach(async () => {
    await manifest[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  function newLog(over: Partial<ConstructorParameters<typeof NotesLog>[0]> = {}): NotesLog {
    const covers = (rule: string): boolean => rule !== 'elsewhere';
    const sizes = { tailBytes: 2000, rewriteBytes: 20_000 };
    return new NotesLog({ notes, owner: OWNER, rules: ['site'], covers, clock, ...sizes, ...over });
  }

  async function follow(log: NotesLog, forgetOthers = false): Promise<void> {
    using rows = ManifestRows.open(join(folder.path, 'manifest.db'));
    if (rows === undefined) throw new Error('there is no manifest');
    await log.follow(rows, { forgetOthers });
  }

  /** What would be made anew: digests by key. */
  async function gathered(): Promise<Record<string, string>> {
    using into = new GatheredRows(':memory:');
    const store = { name: 'local', store: { notes } };
    const { damaged } = await gatherNotes({ owner: OWNER, stores: [store] }, into, {});
    expect(damaged).to.equal(0);
    into.settle();
    const live = [...into.rows()].filter(({ values }) => values !== undefined);
    return Object.fromEntries(live.map(({ key, values }) => [key, String(values?.[11])]));
  }

  async function kept(): Promise<Record<string, string>> {
    const { entries } = await manifest.list({ limit: 1000 });
    const own = entries.filter(({ rule }) => rule !== 'elsewhere');
    return Object.fromEntries(own.map(({ key, digest }) => [key, digest]));
  }

  async function purge(kind: 'key' | 'prefix' | 'all', value: string): Promise<void> {
    await manifest.purge({ kind, value, soft: false, actor: 'test' });
  }

  async function change(random: Random): Promise<void> {
    const base = manifest.position('web');
    const changes = Array.from({ length: random.integer(1, 12) }, () => {
      const rule = random.chance(0.1) ? 'elsewhere' : 'site';
      const key = `${rule}/${random.integer(0, 30)}`;
      const digest = random.uint32().toString(16).padStart(64, '0');
      return random.chance(0.8) ? put(key, base, { rule, digest }) : remove(key);
    });
    await manifest.commit(changes);
    if (random.chance(0.3)) await purge('prefix', `site/${random.integer(0, 3)}`);
    if (random.chance(0.3)) await purge('key', `site/${random.integer(0, 30)}`);
  }

  it('say what the manifest says, and after a failure anywhere what it says or said', async () => {
    const random = new Random(17);
    let log = newLog();
    await manifest.commit([put('first')]);
    await follow(log);
    let before = await kept();
    for (let round = 0; round < 40; round++) {
      await change(random);
      const now = await kept();
      notes.left = random.integer(0, 3);
      const failed = await follow(log).then(
        () => false,
        () => true,
      );
      notes.left = Number.POSITIVE_INFINITY;
      const found = await gathered();
      for (const key of new Set([...Object.keys(found), ...Object.keys(now)]))
        expect(found[key], `round ${round}, ${key}`).to.be.oneOf(
          failed ? [now[key], before[key]] : [now[key]],
        );
      if (random.integer(0, 3) === 0) log = newLog();
      await follow(log);
      expect(await gathered()).to.deep.equal(now);
      before = now;
    }
    // A new picture was made now and then, and what it replaced is gone.
    const [group] = groupSegments(await notes.list());
    expect(group?.whole?.first).to.be.greaterThan(1);
    expect(group?.segments[0]?.number).to.equal(group?.whole?.first);
    const size = [...notes.kept.values()].reduce((sum, { length }) => sum + length, 0);
    expect(size).to.be.lessThan(80_000);
  }).timeout(30_000);

  it('leave nothing behind of pictures that were begun and never ended', async () => {
    await manifest.commit(Array.from({ length: 300 }, (_, at) => put(`${at}`)));
    const kept = (): number =>
      [...notes.kept.values()].reduce((sum, { length }) => sum + length, 0);
    const begin = async (): Promise<void> => {
      for (let tries = 0; tries < 20; tries++) {
        notes.left = 3;
        // Other rules each time: everything is to be noted anew.
        const failing = newLog({ partBytes: 20_000, rules: [`${tries}`] });
        await follow(failing).catch(() => undefined);
      }
      notes.left = Number.POSITIVE_INFINITY;
    };
    await begin();
    const begun = kept();
    expect(begun).to.be.lessThan(200_000);
    await follow(newLog());
    const whole = kept();
    await begin();
    expect(kept()).to.be.lessThan(whole + 200_000);
    expect(Object.keys(await gathered())).to.have.length(300);
    await follow(newLog());
    expect(kept()).to.be.lessThan(1.1 * whole);
  });

  it('go on where they ended, and write nothing where nothing is new', async () => {
    await manifest.commit([put('a'), put('b')]);
    await follow(newLog());
    const { written } = notes;
    await follow(newLog());
    expect(notes.written).to.equal(written);
    await manifest.commit([put('c')]);
    await follow(newLog());
    expect(notes.written - written).to.be.lessThan(1500);
    expect(Object.keys(await gathered()).sort()).to.deep.equal(['a', 'b', 'c']);
  });

  it('are made anew where other rules keep their bodies beside them', async () => {
    await manifest.commit([put('a'), put('b', 0, { rule: 'elsewhere' })]);
    await follow(newLog());
    expect(Object.keys(await gathered())).to.deep.equal(['a']);
    await follow(newLog({ rules: ['elsewhere', 'site'], covers: () => true }));
    expect(Object.keys(await gathered()).sort()).to.deep.equal(['a', 'b']);
  });

  /** Another manifest in the place of the one that was there. */
  async function lose(): Promise<void> {
    await manifest[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
    folder = await tempFolder();
    manifest = await openIn(folder.path);
    clock.advance(1000);
  }

  it('of a manifest that is gone stay for a week, and what the next says counts', async () => {
    await manifest.commit([put('a'), put('b'), put('c')]);
    await follow(newLog());
    await lose();
    const digest = '1'.repeat(64);
    await manifest.commit([put('b', 0, { digest })]);
    await purge('key', 'c');
    const log = newLog();
    await follow(log);
    const found = await gathered();
    expect([Object.keys(found).sort(), found['b']]).to.deep.equal([['a', 'b'], digest]);
    using rows = ManifestRows.open(join(folder.path, 'manifest.db'));
    const epoch = rows?.namespaces()[0]?.epoch;
    clock.advance(6.9 * DAY_MS);
    expect(await log.hasOthers(epoch, {})).to.equal(true);
    clock.advance(0.2 * DAY_MS);
    expect(await log.hasOthers(epoch, {})).to.equal(false);
    expect(Object.keys(await gathered())).to.deep.equal(['b']);
  });

  it('of a manifest that is gone do not count once its successor forgot a purge', async () => {
    await manifest.commit([put('a')]);
    await follow(newLog());
    await lose();
    await manifest.commit([put('b')]);
    await follow(newLog());
    using into = new GatheredRows(':memory:');
    const store = { name: 'local', store: { notes } };
    await gatherNotes({ owner: OWNER, stores: [store] }, into, {});
    into.forgetBefore('web', 1);
    expect(into.settle()).to.equal(1);
    expect([...into.rows()].map(({ key }) => key)).to.deep.equal(['b']);
  });

  it('go at once where they are of no more use', async () => {
    await manifest.commit([put('a')]);
    await follow(newLog());
    await lose();
    await manifest.commit([put('b')]);
    await follow(newLog(), true);
    expect(Object.keys(await gathered())).to.deep.equal(['b']);
  });

  it('are made anew where the newest one is damaged', async () => {
    await manifest.commit([put('a')]);
    await follow(newLog());
    const [name = ''] = [...notes.kept.keys()];
    notes.kept.set(name, Buffer.from('no line at all\n'));
    await follow(newLog());
    expect(notes.kept.has(name)).to.equal(false);
    expect(Object.keys(await gathered())).to.deep.equal(['a']);
  });

  it('know every purge: of all, of a rule, of many entries, and soft ones', async () => {
    const log = newLog();
    await manifest.commit([put('a'), put('b'), put('c')]);
    await follow(log);
    await manifest.purge({ kind: 'rule', value: 'site', soft: true, actor: 'test' });
    await follow(log);
    expect(Object.keys(await gathered())).to.have.length(3);
    await purge('all', '');
    await follow(log);
    expect(await gathered()).to.deep.equal({});
    await manifest.commit([put('a', manifest.position('web'))]);
    await follow(log);
    expect(Object.keys(await gathered())).to.deep.equal(['a']);
  });
});
