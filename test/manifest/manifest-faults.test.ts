import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OfdLock } from '@caje/litefs';
import { expect } from 'chai';
import type { Entry } from '../../src/manifest/entry.ts';
import { Metrics } from '../../src/metrics.ts';
import { openDatabase } from '../../src/sqlite/open-database.ts';
import { holdLock } from '../support/hold-lock.ts';
import { newEntry, openIn, put } from '../support/manifest-fixtures.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const commitLoop = fileURLToPath(new URL('./commit-loop.ts', import.meta.url));

/** Resolves when the condition holds; looks every 10 ms, for 8 s at most. */
async function eventually(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 8000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`not within 8 s: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe('SqliteManifest under faults', () => {
  let folder: TempFolder;
  let path: string;
  beforeEach(async () => {
    folder = await tempFolder();
    path = join(folder.path, 'manifest.db');
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  function rows(): unknown[] {
    const database = openDatabase(path, { readOnly: true });
    try {
      return database
        .prepare('SELECT key FROM entries WHERE deleted = 0 ORDER BY key')
        .pluck()
        .all();
    } finally {
      database.close();
    }
  }

  it('keeps what was written when it is opened again', async () => {
    {
      await using manifest = await openIn(folder.path);
      await manifest.commit([put('a'), put('b')]);
    }
    await using manifest = await openIn(folder.path);
    expect(manifest.peek('web', 'a')).to.equal(undefined);
    expect((await manifest.lookup('web', 'a'))[0]).to.deep.include({ key: 'a', jid: 1 });
    expect(manifest.position('web')).to.equal(2);
    expect(await manifest.commit([put('c', 2)])).to.deep.equal([{ outcome: 'committed', jid: 3 }]);
  });

  it('keeps a refresh when it is opened again, for that answer alone', async () => {
    const freshUntil = Date.now() + 77_000;
    const staleAt = Date.now() + 88_000;
    {
      await using manifest = await openIn(folder.path);
      await manifest.commit([put('a'), put('b')]);
      for (const key of ['a', 'b']) {
        const [entry] = (await manifest.lookup('web', key)) as [Entry];
        manifest.refresh(entry, {
          freshUntil,
          staleAt,
          policy: { ...entry.policy, initialAge: 9 },
        });
      }
      await manifest.commit([put('b', 2, { freshUntil: 5 })]);
    }
    await using manifest = await openIn(folder.path);
    const [a] = (await manifest.lookup('web', 'a')) as [Entry];
    expect([a.freshUntil, a.staleAt, a.policy.initialAge]).to.deep.equal([freshUntil, staleAt, 9]);
    expect((await manifest.lookup('web', 'b'))[0]?.freshUntil).to.equal(5);
  });

  it('keeps the index within its bound and answers the rest from the database', async () => {
    const indexBytes = 200_000;
    await using manifest = await openIn(folder.path, { indexBytes });
    await manifest.commit(Array.from({ length: 1000 }, (_, i) => put(`k${i}`)));
    expect(manifest.peek('web', 'k0')).to.equal(undefined);
    expect(manifest.indexBytes).to.be.within(indexBytes / 2, indexBytes);
    for (const i of [0, 500, 999]) expect(await manifest.lookup('web', `k${i}`)).to.have.length(1);
    expect(manifest.peek('web', 'k0')).to.have.length(1);
  });

  it('drops and counts what is beyond the bound of its queue', async () => {
    const metrics = new Metrics();
    await using manifest = await openIn(folder.path, { metrics });
    const results = await manifest.commit(Array.from({ length: 10_050 }, (_, i) => put(`k${i}`)));
    expect(results.filter(({ outcome }) => outcome === 'dropped')).to.have.length.at.least(50);
    expect(metrics.value('changes_dropped_total')).to.equal(
      results.filter(({ outcome }) => outcome === 'dropped').length,
    );
    expect(await manifest.lookup('web', 'k10049')).to.deep.equal([]);
  });

  it('M4: while another process holds the lock it answers at once and writes after the release', async () => {
    await using manifest = await openIn(folder.path);
    await manifest.commit([put('a')]);
    await using holder = await holdLock(`${path}-lock`);
    const written = manifest.commit([put('b', 1)]);
    expect(manifest.peek('web', 'b')).to.have.length(1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(rows()).to.deep.equal(['a']);
    expect(manifest.health().pending).to.equal(1);
    await holder.release();
    expect(await written).to.deep.equal([{ outcome: 'committed', jid: 2 }]);
    expect(rows()).to.deep.equal(['a', 'b']);
  });

  it('M4: a node starts while another process holds the lock', async () => {
    await using holder = await holdLock(`${path}-lock`);
    await using manifest = await openIn(folder.path);
    expect(manifest.health().problem).to.be.a('string');
    const written = manifest.commit([put('a')]);
    expect(await manifest.lookup('web', 'a')).to.have.length(1);
    await holder.release();
    expect((await written)[0]?.outcome).to.equal('committed');
    expect(manifest.health()).to.deep.equal({ pending: 0 });
  });

  it('M5: held for longer than the timeout it is counted, tried again, and no row is lost', async () => {
    const metrics = new Metrics();
    await using manifest = await openIn(folder.path, { metrics, acquireTimeoutMs: 40 });
    await using holder = await holdLock(`${path}-lock`);
    const written = manifest.commit([put('a')]);
    await eventually(() => metrics.value('halt_timeouts_total') >= 2);
    expect(manifest.health().problem).to.include('lock');
    await holder.release();
    expect((await written)[0]?.outcome).to.equal('committed');
    await eventually(() => manifest.health().problem === undefined);
  });

  it('M6: nobody gets the lock before the transaction is committed', async () => {
    // Long enough for a process to start, also on a busy machine.
    process.env['CAJE_TEST_COMMIT_DELAY_MS'] = '1500';
    await using manifest = await openIn(folder.path);
    delete process.env['CAJE_TEST_COMMIT_DELAY_MS'];
    const written = manifest.commit([put('a')]);
    using lock = new OfdLock(`${path}-lock`);
    await eventually(() => lock.isHeldElsewhere());
    await using refused = await holdLock(`${path}-lock`);
    expect(refused.said).to.equal('refused');
    expect(rows()).to.deep.equal([]);
    await eventually(() => lock.tryLock());
    expect(rows()).to.deep.equal(['a']);
    lock.unlock();
    await written;
  });

  it('writes nothing while another process holds the database, and everything afterwards (F-61)', async () => {
    const metrics = new Metrics();
    await using manifest = await openIn(folder.path, { metrics });
    await manifest.commit([put('a')]);
    const other = openDatabase(path);
    other.exec('BEGIN IMMEDIATE');
    const written = manifest.commit([put('b', 1)]);
    await eventually(() => metrics.value('commit_retries_total', 'SQLITE_BUSY') >= 2);
    expect(await manifest.lookup('web', 'a')).to.have.length(1);
    other.exec('COMMIT');
    other.close();
    expect((await written)[0]?.outcome).to.equal('committed');
  });

  it('M10: made read-only it answers, says so, and writes again once it may', async () => {
    await using manifest = await openIn(folder.path, { indexBytes: 1 });
    await manifest.commit([put('a')]);
    chmodSync(path, 0o440);
    expect(manifest.health().problem).to.include('read-only');
    expect(await manifest.lookup('web', 'a')).to.have.length(1);
    const written = manifest.commit([put('b', 1)]);
    await using second = await openIn(folder.path);
    expect(second.health().problem).to.include('read-only');
    expect(await second.lookup('web', 'a')).to.have.length(1);
    chmodSync(path, 0o640);
    expect((await written)[0]?.outcome).to.equal('committed');
    await eventually(() => manifest.health().problem === undefined);
  });

  it('counts and removes a row that fails its checksum, and answers a miss', async () => {
    const metrics = new Metrics();
    await using manifest = await openIn(folder.path, { metrics, indexBytes: 1 });
    await manifest.commit([put('a')]);
    const database = openDatabase(path);
    database.exec(`UPDATE entries SET digest = 'wrong'`);
    database.close();
    expect(await manifest.lookup('web', 'a')).to.deep.equal([]);
    expect(metrics.value('corrupt_rows_total')).to.be.at.least(1);
    await eventually(() => rows().length === 0);
    await manifest.commit([put('a', manifest.position('web'))]);
    expect((await manifest.lookup('web', 'a'))[0]?.digest).to.equal(newEntry('a').digest);
  });

  const damages: Record<string, (bytes: Buffer) => Buffer> = {
    'a zeroed header': (bytes) => bytes.fill(0, 0, 100),
    'something else than a database': () =>
      Buffer.from('not a database, but text of some length\n'.repeat(200)),
    'a cut file': (bytes) => bytes.subarray(0, Math.floor(bytes.length / 2) - 17),
    'overwritten pages': (bytes) => bytes.fill(0xa5, 4096, 4096 * 8),
  };
  for (const [what, damage] of Object.entries(damages)) {
    it(`puts a damaged database aside and makes a new one: ${what}`, async () => {
      const epochs: string[] = [];
      {
        await using manifest = await openIn(folder.path);
        await manifest.commit(Array.from({ length: 200 }, (_, i) => put(`k${i}`)));
        epochs.push((await manifest.journal('web', '', 1)).cursor);
      }
      writeFileSync(path, damage(readFileSync(path)));
      const metrics = new Metrics();
      await using manifest = await openIn(folder.path, { metrics });
      await eventually(() => metrics.value('recovered_total', 'manifest') === 1);
      expect(
        readdirSync(folder.path).filter((name) => name.startsWith('manifest.db.damaged-')),
      ).not.to.have.length(0);
      expect(await manifest.lookup('web', 'k0')).to.deep.equal([]);
      expect(await manifest.commit([put('a')])).to.deep.equal([{ outcome: 'committed', jid: 1 }]);
      epochs.push((await manifest.journal('web', '', 1)).cursor);
      expect(epochs[0]).not.to.equal(epochs[1]);
    });
  }

  it('sees what another process writes to the same database', async () => {
    await using manifest = await openIn(folder.path);
    await manifest.commit([put('a')]);
    await using other = await openIn(folder.path);
    const told: (string | undefined)[] = [];
    manifest.onChange((_, key) => told.push(key));
    await other.commit([put('a', 1, { status: 203 }), put('b', 1)]);
    await eventually(() => told.includes('b'));
    expect((await manifest.lookup('web', 'a'))[0]?.status).to.equal(203);
    expect(manifest.position('web')).to.equal(3);
    await other.purge({ kind: 'all', value: '', soft: false, actor: 'test' });
    await eventually(() => manifest.position('web') > 3);
    expect(await manifest.lookup('web', 'a')).to.deep.equal([]);
    expect(await manifest.commit([put('a', 3)])).to.deep.equal([{ outcome: 'purged' }]);
  });

  it('has every acknowledged change, and no gap, after kill -9 at any moment', async () => {
    const acknowledged = new Map<string, number>();
    for (let round = 0; round < 5; round++) {
      const child = spawn(
        process.execPath,
        ['--conditions=caje-source', commitLoop, folder.path, String(round * 100_000)],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      );
      const said = await linesUntil(child, 100 + round * 37);
      child.kill('SIGKILL');
      await once(child, 'close');
      for (const line of said) {
        const [key, jid] = line.split(' ') as [string, string];
        if (jid !== undefined) acknowledged.set(key, Number(jid));
      }
    }
    const database = openDatabase(path);
    expect(database.pragma('integrity_check', { simple: true })).to.equal('ok');
    const jids = database.prepare('SELECT jid FROM journal ORDER BY jid').pluck().all() as number[];
    expect(jids).to.deep.equal(Array.from({ length: jids.length }, (_, i) => i + 1));
    const written = new Map(
      database.prepare('SELECT key, jid FROM entries').raw().all() as [string, number][],
    );
    database.close();
    expect(acknowledged.size).to.be.greaterThan(500);
    for (const [key, jid] of acknowledged) expect(written.get(key), key).to.equal(jid);
  }).timeout(30_000);
});

/** Complete lines of a child until there are `count`; collects on until it ends. */
async function linesUntil(child: ChildProcess, count: number): Promise<string[]> {
  const lines: string[] = [];
  let rest = '';
  await new Promise<void>((resolve, reject) => {
    child.on('exit', () => reject(new Error('the child ended by itself')));
    child.stdout?.on('data', (chunk: Buffer) => {
      const parts = (rest + chunk.toString()).split('\n');
      rest = parts.pop() ?? '';
      lines.push(...parts);
      if (lines.length >= count) resolve();
    });
  });
  return lines;
}
