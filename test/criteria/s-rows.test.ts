import { execFile } from 'node:child_process';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { filesBelow } from '../support/audit-store.ts';
import { expectSound } from '../support/auditor.ts';
import { readBytes } from '../support/http-client.ts';
import { skipUnless } from '../support/skip.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { eventually } from './eventually.ts';
import { entryRows, keptBodies, temporaryFiles } from './node-files.ts';
import { Site, xCache } from './site.ts';
import { onS3, STORAGES, type Storage, tiered } from './storages.ts';

const run = promisify(execFile);
const MIB = 1024 ** 2;
/** No body is answered from memory, so that each answer shows what the store has. */
const NOTHING_HOT = { memory: { bodies: 0 } };

describe('criteria of storage', function () {
  this.timeout(60_000);

  for (const name of ['disk', 'S3']) {
    describe(`S3 on ${name}`, () => {
      let storage: Storage;
      let site: Site;
      before(async function () {
        storage = (await STORAGES[name]?.(this)) as Storage;
        site = await Site.start({ storage: storage.options, config: NOTHING_HOT });
      });
      after(async () => {
        await site?.[Symbol.asyncDispose]();
        await storage?.[Symbol.asyncDispose]();
      });

      const storedFile = (digest: string): string => {
        const { server, options } = storage;
        const folder =
          server === undefined
            ? join(site.node.dataDir, 'blobs')
            : join(server.dataFolder, String(options['bucket']), 'sha256');
        return join(folder, digest.slice(0, 2), digest);
      };
      const corruptions = async (): Promise<number> =>
        (await site.node.counters())['corrupt_blobs_total'] ?? 0;

      it('S3: a wrong byte at the start of a stored body makes the next GET a refetch', async () => {
        const path = '/first?size=3000000';
        await site.keep(path);
        await flipByte(storedFile(entryRows(site.node, path)[0]?.digest ?? ''), 100);
        const before = await corruptions();
        const answer = await site.get(path);
        expect(xCache(answer)).to.equal('MISS');
        expect(answer.body.equals(site.bytes(path, 3_000_000))).to.equal(true);
        expect(site.origin.counts(path).requests).to.equal(2);
        expect(await corruptions()).to.equal(before + 1);
      });

      it('S3: a wrong byte further on never ends as a clean answer, and is healed', async () => {
        const path = '/last?size=3000000';
        await site.keep(path);
        await flipByte(storedFile(entryRows(site.node, path)[0]?.digest ?? ''), 2_999_999);
        const before = await corruptions();
        const answer = await site.client.getCut(site.node.url + path);
        const whole = site.bytes(path, 3_000_000);
        expect(answer.error !== undefined || answer.body.equals(whole)).to.equal(true);
        expect(answer.body.equals(whole.subarray(0, answer.body.length))).to.equal(true);
        expect(await corruptions()).to.equal(before + 1);
        expect((await site.get(path)).body.equals(whole)).to.equal(true);
        expect(site.origin.counts(path).requests).to.equal(2);
      });
    });
  }

  it('S3: a wrong byte of a small body in the database makes the next GET a refetch', async () => {
    await using site = await Site.start({ config: NOTHING_HOT });
    const path = '/small?size=2000';
    await site.keep(path);
    const database = new Database(join(site.node.dataDir, 'node.db'), { timeout: 5_000 });
    const { changes } = database
      .prepare('UPDATE small_bodies SET body = ? WHERE length(body) = 2000')
      .run(Buffer.alloc(2000));
    database.close();
    expect(changes).to.equal(1);
    const answer = await site.get(path);
    expect(xCache(answer)).to.equal('MISS');
    expect(answer.body.equals(site.bytes(path, 2000))).to.equal(true);
    expect((await site.node.counters())['corrupt_blobs_total']).to.equal(1);
  });

  it('S4: killed during a fill it leaves no row, no temporary file, and serves again', async () => {
    await using site = await Site.start({ config: { gc: { orphanGrace: 0 } } });
    const path = '/killed';
    const gate = Promise.withResolvers<void>();
    site.serve(path, (_, number) => ({
      size: 8 * MIB,
      ...(number === 1 && { pause: { at: 4 * MIB, until: gate.promise } }),
    }));
    await site.keep('/before?size=200000');
    const answer = await site.client.stream(site.node.url + path);
    answer.body.on('error', () => {});
    await readBytes(answer.body, 2 * MIB);
    expect(await temporaryFiles(site.node)).to.not.deep.equal([]);
    await site.node.kill9();
    gate.resolve();
    expect(entryRows(site.node, path)).to.deep.equal([]);
    await site.node.restart();
    await eventually(
      'an empty spool',
      async () => (await temporaryFiles(site.node)).length === 0,
      60_000,
    );
    expect(xCache(await site.get('/before?size=200000'))).to.equal('HIT');
    const again = await site.keep(path);
    expect(xCache(again)).to.equal('MISS');
    expect(again.body.equals(site.bytes(path, 8 * MIB))).to.equal(true);
    await site.node.stop();
    const audit = await expectSound({ dataDir: site.node.dataDir });
    expect(audit.entries).to.equal(2);
  });

  for (const [name, start] of Object.entries(STORAGES)) {
    it(`S5: two addresses with the same bytes are two rows and one body on ${name}`, async function () {
      await using storage = await start(this);
      await using site = await Site.start({ storage: storage.options, others: storage.others });
      site.serve('/one', { body: 'the same' });
      site.serve('/other', { body: 'the same' });
      await site.keep('/one');
      await site.keep('/other');
      const rows = entryRows(site.node);
      expect(rows).to.have.length(2);
      expect(rows[0]?.digest).to.equal(rows[1]?.digest);
      expect(await keptBodies(site.node)).to.deep.equal([rows[0]?.digest]);
    });
  }

  it('S6: with the near store emptied a hit comes from S3, the origin is not asked, and it is near again', async function () {
    await using storage = await tiered(this);
    const { options, others } = storage;
    await using site = await Site.start({ storage: options, others, config: NOTHING_HOT });
    const blobs = join(site.node.dataDir, 'blobs');
    const paths = [1_000, 300_000, 5_000_000].map((size) => `/tiers?size=${size}`);
    for (const path of paths) await site.keep(path);
    const files = await filesBelow(blobs);
    expect(files).to.have.length(2);
    await rm(blobs, { recursive: true });
    const cleared = new Database(join(site.node.dataDir, 'node.db'), { timeout: 5_000 });
    cleared.exec(`DELETE FROM small_bodies; DELETE FROM blobs WHERE backend = 'near'`);
    cleared.close();
    for (const path of paths) {
      const answer = await site.get(path);
      expect(xCache(answer)).to.equal('HIT');
      expect(answer.body.equals(site.bytes(path, Number(path.split('=')[1])))).to.equal(true);
      expect(site.origin.counts(path).requests).to.equal(1);
    }
    await eventually('the files', async () => (await filesBelow(blobs)).length === files.length);
    expect((await filesBelow(blobs)).sort()).to.deep.equal(files.sort());
    await storage.server?.kill();
    for (const path of paths) expect(xCache(await site.get(path))).to.equal('HIT');
    const { 'tier_copied_total{near}': copied } = await site.node.counters();
    expect(copied).to.equal(3);
  });

  it('S6: what S3 missed while it was away is copied once it is back, and served from there', async function () {
    await using storage = await tiered(this);
    const { options, others, server } = storage;
    await using site = await Site.start({ storage: options, others, config: NOTHING_HOT });
    await server?.kill();
    const paths = [1_000, 300_000, 5_000_000].map((size) => `/missed?size=${size}`);
    for (const path of paths) expect(xCache(await site.keep(path))).to.equal('MISS');
    for (const path of paths) expect(xCache(await site.get(path))).to.equal('HIT');
    const ready = await site.get('/_caje/readyz');
    expect(ready.status).to.equal(503);
    expect(ready.body.toString()).to.include('far (far): ').and.to.include('3 bodies wait');
    await server?.start();
    await eventually(
      'the copies',
      async () => (await site.node.counters())['tier_copied_total{far}'] === 3,
      30_000,
    );
    await rm(join(site.node.dataDir, 'blobs'), { recursive: true });
    for (const path of paths) {
      expect(xCache(await site.get(path))).to.equal('HIT');
      expect(site.origin.counts(path).requests).to.equal(1);
    }
  });

  it('S7: with a full disk every client gets its whole body, and nothing is kept', async function () {
    await using folder = await tempFolder();
    const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder.path]).then(
      () => true,
      () => false,
    );
    skipUnless(this, mounted, 'a file system of 1 MiB cannot be mounted here', { exempt: true });
    try {
      const storage = { type: 'disk', path: folder.path, keepFree: 0 };
      await using site = await Site.start({ storage });
      await expectRefusals(site);
    } finally {
      await run('umount', [folder.path]);
    }
  });

  it('S7: with a dead S3 store every client gets its whole body, and it is kept again afterwards', async function () {
    await using storage = await onS3(this);
    await using site = await Site.start({ storage: storage.options });
    await site.keep('/alive');
    await storage.server?.kill();
    await expectRefusals(site);
    await storage.server?.start();
    await eventually('a row again', async () => {
      await site.get('/again?size=4000000');
      return entryRows(site.node, '/again?size=4000000')[0];
    });
  });
});

/** What a client sees of a store that takes nothing: whole bodies, at first as a MISS, then as BYPASS. */
async function expectRefusals(site: Site): Promise<void> {
  const seen: (string | undefined)[] = [];
  await eventually(
    'a BYPASS',
    async () => {
      const path = `/refused-${seen.length}?size=4000000`;
      const answer = await site.get(path);
      expect(answer.status).to.equal(200);
      expect(answer.body.equals(site.bytes(path, 4_000_000))).to.equal(true);
      seen.push(xCache(answer));
      return seen.at(-1) === 'BYPASS';
    },
    40_000,
  );
  expect(seen[0]).to.equal('MISS');
  expect(entryRows(site.node, 'size=4000000')).to.deep.equal([]);
  const failed = Object.entries(await site.node.counters()).filter(([name]) =>
    name.startsWith('stash_failed_total'),
  );
  expect(failed.reduce((sum, [, count]) => sum + count, 0)).to.be.greaterThan(0);
}

async function flipByte(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, offset);
  byte[0] = (byte[0] ?? 0) ^ 1;
  await file.write(byte, 0, 1, offset);
}
