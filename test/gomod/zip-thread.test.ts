import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { HashThread } from '../../src/gomod/hash-thread.ts';
import { hashModuleZip, inspectModuleZip } from '../../src/gomod/zip-hash.ts';
import { buildZip } from '../support/go-zip.ts';
import { pieces } from '../support/pieces.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { plainZip } from './zip-cases.ts';

const VERSION = 'v1.0.0';
const MIB = 1024 * 1024;
const FAILING = new URL('../fixtures/hash-worker-failing.ts', import.meta.url);

async function* body(zip: Buffer, size: number): AsyncGenerator<Buffer> {
  for (const piece of pieces(zip, size)) {
    // One buffer over and over, as a pool would give it.
    yield Buffer.from(piece);
    await sleep(0);
  }
}

describe('The thread that hashes zips', function () {
  this.timeout(60_000);

  it('finds what is found without it, for many bodies at once', async () => {
    await using thread = new HashThread();
    const all = Array.from({ length: 20 }, async (_, i) => {
      const of = { module: `example.com/x${i}`, version: VERSION };
      const prefix = `${of.module}@${VERSION}/`;
      const zip =
        i % 2 === 0
          ? plainZip(prefix)
          : buildZip([{ name: `${prefix}a`, content: seededBytes(3 * MIB), deflate: true }]);
      const cut = i % 5 === 4 ? zip.subarray(0, -30) : zip;
      const alone = await hashModuleZip(body(cut, MIB), of);
      expect(await hashModuleZip(body(cut, 1000 + i * 9000), { ...of, thread })).to.deep.equal(
        alone,
      );
      expect(alone).to.have.property(i % 5 === 4 ? 'problem' : 'h1');
    });
    await Promise.all(all);
  });

  it('copies pieces, so that their memory may be used again at once', async () => {
    await using thread = new HashThread();
    const zip = plainZip('example.com/x@v1.0.0/');
    const of = { module: 'example.com/x', version: VERSION };
    const inspector = inspectModuleZip({ ...of, thread });
    for (const piece of pieces(zip, 100)) {
      const lent = Buffer.from(piece);
      await inspector.write(lent);
      lent.fill(0);
    }
    expect(await inspector.end()).to.deep.equal(await hashModuleZip(body(zip, MIB), of));
  });

  it('holds a body back that is ahead of it, and goes on', async () => {
    await using thread = new HashThread();
    const inspector = thread.inspectModuleZip({ module: 'example.com/x', version: VERSION });
    const piece = seededBytes(256 * 1024);
    let held = 0;
    for (let i = 0; i < 100; i++) {
      const wait = inspector.write(piece);
      if (wait !== undefined) held++;
      // More than 1 MiB and a piece is never under way.
      if (i < 4) expect(wait).to.equal(undefined);
      if (i === 4) expect(wait).to.be.a('promise');
      await wait;
    }
    expect(held).to.be.within(1, 60);
    expect((await inspector.end()).problem).to.be.a('string');
  });

  it('leaves bodies without a hash when it dies, and starts anew', async () => {
    await using thread = new HashThread({ entry: FAILING, restartPauseMs: 0 });
    const zip = plainZip(`example.com/good@${VERSION}/`);
    const good = { module: 'example.com/good', version: VERSION };
    const other = thread.inspectModuleZip(good);
    for (let i = 0; i < 10; i++) await other.write(seededBytes(200_000));
    const bad = { module: 'example.com/fails', version: VERSION, thread };
    const found = await hashModuleZip(body(zip, MIB), bad);
    expect(found).to.deep.equal({ unknown: 'the thread that hashes ended' });
    expect(await other.end()).to.deep.equal(found);
    expect(other.write(zip)).to.equal(undefined);
    const again = await hashModuleZip(body(zip, MIB), { ...good, thread });
    expect(again.h1).to.match(/^h1:/);
  });

  it('is not started again at once where it dies at once', async () => {
    await using thread = new HashThread({ entry: FAILING });
    const bad = { module: 'example.com/fails', version: VERSION, thread };
    await hashModuleZip(body(Buffer.alloc(10), 1), bad);
    const { unknown } = await hashModuleZip(body(Buffer.alloc(10), 1), bad);
    expect(unknown).to.equal('no thread could hash it');
  });

  it('ends when it is closed, and what is under way with it', async () => {
    const thread = new HashThread();
    const inspector = thread.inspectModuleZip({ module: 'example.com/x', version: VERSION });
    await inspector.write(seededBytes(200_000));
    const found = inspector.end();
    await thread[Symbol.asyncDispose]();
    expect(await found).to.deep.equal({ unknown: 'the thread that hashes ended' });
    const later = thread.inspectModuleZip({ module: 'example.com/x', version: VERSION });
    expect(await later.end()).to.deep.equal({ unknown: 'no thread could hash it' });
    await thread[Symbol.asyncDispose]();
  });

  it('keeps memory bounded while 300 MB pass', async () => {
    await using thread = new HashThread();
    const name = `example.com/x@${VERSION}/large`;
    const chunk = seededBytes(MIB);
    const packed = 300 * MIB;
    const facts = { packed, size: packed };
    const zip = buildZip([{ name, content: '', local: facts, central: facts }]);
    const at = 30 + name.length;
    const inspector = thread.inspectModuleZip({ module: 'example.com/x', version: VERSION });
    await inspector.write(zip.subarray(0, at));
    await inspector.write(chunk);
    await sleep(200);
    const before = process.memoryUsage().rss;
    let most = 0;
    for (let i = 1; i < 300; i++) {
      await inspector.write(chunk);
      most = Math.max(most, process.memoryUsage().rss - before);
    }
    const end = Buffer.from(zip.subarray(at));
    end.writeUInt32LE(end.readUInt32LE(end.length - 6) + packed, end.length - 6);
    await inspector.write(end);
    expect(await inspector.end()).to.have.property('h1');
    expect(most).to.be.below(64 * MIB);
  });
});
