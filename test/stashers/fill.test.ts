import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setImmediate as tick } from 'node:timers/promises';
import { expect } from 'chai';
import { BLOCK_SIZE } from '../../src/body.ts';
import { kindOf } from '../../src/errors.ts';
import type { Fetched } from '../../src/fetchers/fetcher.ts';
import { HeaderList } from '../../src/headers.ts';
import { Metrics } from '../../src/metrics.ts';
import { Fill, type FillOptions } from '../../src/stashers/fill.ts';
import { SpoolFolder } from '../../src/stashers/spool-folder.ts';
import { pieces } from '../support/pieces.ts';

const MIB = 1024 * 1024;

describe('Fill', () => {
  let root: string;
  let folder: SpoolFolder;
  let metrics: Metrics;
  let made: Fill[] = [];

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'caje-fill-'));
    folder = new SpoolFolder(join(root, 'spool'), 256 * MIB);
    metrics = new Metrics();
  });

  afterEach(async () => {
    for (const one of made) one.release();
    made = [];
    await rm(root, { recursive: true, force: true });
  });

  function fill(
    body: Readable,
    headers: [string, string][] = [],
    options: Partial<FillOptions & Fetched> = {},
  ): Fill {
    const fetched: Fetched = {
      status: 200,
      headers: new HeaderList(headers),
      body,
      source: 'test',
      promisedDigest: options.promisedDigest,
    };
    const one = new Fill(fetched, { folder, metrics, maxBytes: 10 * 1024 * MIB, ...options });
    made.push(one);
    return one;
  }

  async function spoolFiles(): Promise<string[]> {
    const all = await readdir(join(root, 'spool'), { recursive: true, withFileTypes: true }).catch(
      () => [],
    );
    return all.filter((entry) => entry.isFile()).map((entry) => entry.name);
  }

  async function rejection(promise: Promise<unknown>): Promise<unknown> {
    return await promise.then(
      () => {
        throw new Error('expected a rejection');
      },
      (error: unknown) => error,
    );
  }

  it('keeps a small body in memory and never makes a file', async () => {
    const bytes = randomBytes(64 * 1024);
    const one = fill(Readable.from([bytes.subarray(0, 1000), bytes.subarray(1000)]));
    const client = one.openForClient();
    expect((await buffer(client)).equals(bytes)).to.equal(true);
    const sealed = await one.sealed;
    expect(sealed.size).to.equal(bytes.length);
    expect(sealed.digest).to.equal(createHash('sha256').update(bytes).digest('hex'));
    expect(one.bytes?.equals(bytes)).to.equal(true);
    expect(await one.takeFile()).to.equal(undefined);
    expect(await spoolFiles()).to.deep.equal([]);
  });

  it('gives readers that come before, during and after the body the same bytes from byte 0', async () => {
    const bytes = randomBytes(5 * MIB + 17);
    const source = new PassThrough();
    const one = fill(source);
    const before = buffer(one.openForClient());
    source.write(bytes.subarray(0, 3 * MIB));
    while (one.received < 3 * MIB) await tick();
    const during = buffer(one.openForClient());
    source.end(bytes.subarray(3 * MIB));
    const sealed = await one.sealed;
    const after = buffer(one.openForClient());
    for (const read of await Promise.all([before, during, after]))
      expect(read.equals(bytes)).to.equal(true);
    const range = await buffer(one.open({ range: { start: MIB - 3, end: MIB + 4 } }));
    expect(range.equals(bytes.subarray(MIB - 3, MIB + 5))).to.equal(true);
    expect(sealed.blocks.length).to.equal(6 * 32);
    for (let at = 0; at < 6; at++) {
      const block = createHash('sha256')
        .update(bytes.subarray(at * BLOCK_SIZE, (at + 1) * BLOCK_SIZE))
        .digest();
      expect(sealed.blocks.subarray(at * 32, at * 32 + 32).equals(block), `block ${at}`).to.equal(
        true,
      );
    }
    expect(await spoolFiles()).to.have.length(1);
    one.release();
    await tick();
    expect(one.joinable).to.equal(false);
    while ((await spoolFiles()).length > 0) await tick();
    expect(folder.used).to.equal(0);
  });

  it('hands its finished file over, still readable by those who have it open', async () => {
    const bytes = randomBytes(2 * MIB);
    const one = fill(Readable.from([bytes]));
    const slow = one.openForClient();
    await one.sealed;
    const path = await one.takeFile();
    expect(path).to.be.a('string');
    expect(await one.takeFile(), 'a second taker').to.equal(undefined);
    one.release();
    expect((await readFile(path as string)).equals(bytes)).to.equal(true);
    await rm(path as string);
    expect((await buffer(slow)).equals(bytes)).to.equal(true);
  });

  it('is not slowed by a reader that takes nothing', async () => {
    const bytes = randomBytes(24 * MIB);
    const one = fill(Readable.from(pieces(bytes, 64 * 1024)));
    const idle = one.openForClient();
    const quick = one.openForClient();
    expect((await buffer(quick)).equals(bytes)).to.equal(true);
    await one.sealed;
    expect((await buffer(idle)).equals(bytes)).to.equal(true);
  });

  it('goes on for the others when one reader goes away', async () => {
    const bytes = randomBytes(3 * MIB);
    const source = new PassThrough();
    const one = fill(source, [['Content-Length', String(bytes.length)]]);
    const first = one.openForClient();
    const second = one.openForClient();
    source.write(bytes.subarray(0, MIB));
    await tick();
    first.destroy();
    source.end(bytes.subarray(MIB));
    expect((await buffer(second)).equals(bytes)).to.equal(true);
    expect(await one.sealedDigest).to.equal(createHash('sha256').update(bytes).digest('hex'));
  });

  for (const size of [3000, 3 * MIB]) {
    it(`ends every reader of a body cut at ${size} bytes with an error and leaves no file`, async () => {
      const source = new PassThrough();
      const one = fill(source);
      const reads = [buffer(one.openForClient()), buffer(one.openForClient())];
      for (const read of reads) read.catch(() => undefined);
      source.write(randomBytes(size));
      while (one.received < size) await tick();
      source.destroy(new Error('connection reset'));
      expect(kindOf(await rejection(one.sealed))).to.equal('upstream');
      for (const read of reads) expect(kindOf(await rejection(read))).to.equal('upstream');
      expect(await one.sealedDigest).to.equal(undefined);
      expect(one.joinable).to.equal(false);
      while ((await spoolFiles()).length > 0) await tick();
      expect(folder.used).to.equal(0);
      expect(metrics.value('fills_failed_total', 'upstream')).to.equal(1);
    });
  }

  for (const announced of [99, 101]) {
    it(`refuses 100 bytes that were announced as ${announced}`, async () => {
      const one = fill(Readable.from([randomBytes(100)]), [['Content-Length', String(announced)]]);
      const read = buffer(one.openForClient());
      read.catch(() => undefined);
      expect(kindOf(await rejection(one.sealed))).to.equal('integrity');
      expect(kindOf(await rejection(read))).to.equal('integrity');
    });
  }

  it('never shows the last bytes of a body whose promised digest is not met', async () => {
    const bytes = randomBytes(MIB);
    const wrong = createHash('sha256').update('other').digest('hex');
    const seen: string[] = [];
    const one = fill(Readable.from(pieces(bytes, 1000)), [], {
      promisedDigest: Promise.resolve(wrong),
      onMismatch: (kind) => seen.push(kind),
    });
    let shown = 0;
    const client = one.openForClient();
    client.on('data', (piece: Buffer) => {
      shown += piece.length;
    });
    const end = new Promise<string>((resolve) => {
      client.once('error', () => resolve('error')).once('end', () => resolve('end'));
    });
    expect(kindOf(await rejection(one.sealed))).to.equal('integrity');
    expect(await end).to.equal('error');
    expect(shown).to.be.lessThan(bytes.length);
    expect(seen).to.deep.equal(['promised']);
  });

  it('shows what has come of a body that is still to be checked, but for its last byte', async () => {
    const source = new PassThrough();
    const one = fill(source, [], { promisedDigest: new Promise(() => {}) });
    const client = one.openForClient();
    source.write('first');
    const [piece] = (await once(client, 'data')) as [Buffer];
    expect(piece.toString()).to.equal('firs');
    source.write('second');
    const [more] = (await once(client, 'data')) as [Buffer];
    expect(more.toString()).to.equal('t');
    client.destroy();
    source.destroy();
  });

  it('shows all of a body whose promised digest is met', async () => {
    const bytes = randomBytes(70_000);
    const digest = createHash('sha256').update(bytes).digest('hex');
    const one = fill(Readable.from(pieces(bytes, 1000)), [], {
      promisedDigest: Promise.resolve(digest),
    });
    expect((await buffer(one.openForClient())).equals(bytes)).to.equal(true);
  });

  it('gives up keeping, not its clients, when the spool is full', async () => {
    folder = new SpoolFolder(join(root, 'spool'), 2 * MIB);
    const bytes = randomBytes(12 * MIB);
    const one = fill(Readable.from(pieces(bytes, 64 * 1024)));
    const reads = await Promise.all([buffer(one.openForClient()), buffer(one.openForClient())]);
    for (const read of reads) expect(read.equals(bytes)).to.equal(true);
    expect(kindOf(await rejection(one.sealed))).to.equal('unavailable');
    expect(one.joinable).to.equal(false);
    expect(metrics.value('spool_full_total')).to.equal(1);
    one.release();
    while ((await spoolFiles()).length > 0) await tick();
    expect(folder.used).to.equal(0);
  });

  it('passes a body over the limit on without keeping it', async () => {
    const bytes = randomBytes(MIB);
    const one = fill(Readable.from(pieces(bytes, 10_000)), [], { maxBytes: 100_000 });
    expect((await buffer(one.openForClient())).equals(bytes)).to.equal(true);
    expect(kindOf(await rejection(one.sealed))).to.equal('too-large');
  });

  it('is given up when its last client leaves and much is still to come', async () => {
    const source = new PassThrough();
    const one = fill(source, [['Content-Length', String(100 * MIB)]]);
    const client = one.openForClient();
    client.resume();
    source.write(randomBytes(MIB));
    while (one.received < MIB) await tick();
    client.destroy();
    expect(kindOf(await rejection(one.sealed))).to.equal('aborted');
    expect(source.destroyed).to.equal(true);
    expect(metrics.value('fills_abandoned_total')).to.equal(1);
  });

  it('lets nobody join from the moment it is given up', async () => {
    const source = new PassThrough();
    const one = fill(source, [['Content-Length', String(100 * MIB)]]);
    const client = one.openForClient();
    source.write(randomBytes(MIB));
    while (one.received < MIB) await tick();
    const joinable = new Promise<boolean>((resolve) => {
      client.once('close', () => resolve(one.joinable));
    });
    client.destroy();
    expect(await joinable).to.equal(false);
  });

  it('goes on after its last client left when the rest is small', async () => {
    const bytes = randomBytes(9 * MIB);
    const source = new PassThrough();
    const one = fill(source, [['Content-Length', String(bytes.length)]]);
    const client = one.openForClient();
    source.write(bytes.subarray(0, MIB));
    while (one.received < MIB) await tick();
    client.destroy();
    await tick();
    source.end(bytes.subarray(MIB));
    expect((await one.sealed).size).to.equal(bytes.length);
  });

  it('goes on without any client when nobody asked for it', async () => {
    const bytes = randomBytes(12 * MIB);
    const one = fill(
      Readable.from(pieces(bytes, 64 * 1024)),
      [['Content-Length', String(bytes.length)]],
      { behind: true },
    );
    expect((await one.sealed).size).to.equal(bytes.length);
  });
});
