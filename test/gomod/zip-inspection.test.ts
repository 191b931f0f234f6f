import { createHash } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import { expect } from 'chai';
import { dirHash } from '../../src/gomod/dirhash.ts';
import { hashModuleZip } from '../../src/gomod/zip-hash.ts';
import { ZipInspection } from '../../src/gomod/zip-inspection.ts';
import { MAX_ZIP } from '../../src/gomod/zip-rules.ts';
import type { ZipFindings } from '../../src/gomod/zip-verdict.ts';
import { buildZip, type ZipEntry } from '../support/go-zip.ts';
import { Random } from '../support/random.ts';
import { seededBytes } from '../support/seeded-bytes.ts';

const OF = { module: 'example.com/x', version: 'v1.0.0' };
const PREFIX = 'example.com/x@v1.0.0/';
const MIB = 1024 * 1024;
const SPLITS = 30;

const sha = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

/** What the hash must be, from the files themselves. */
function expected(entries: readonly ZipEntry[]): string {
  return dirHash(
    entries.map(({ name, content }) => ({ name: name.toString(), sha256: sha(content) })),
  );
}

async function inspect(zip: Buffer, next: () => number): Promise<ZipFindings> {
  const inspection = new ZipInspection(OF);
  for (let at = 0; at < zip.length; ) {
    const piece = Buffer.from(zip.subarray(at, at + next()));
    at += piece.length;
    const held = inspection.write(piece);
    // It belongs to whoever gave it as soon as the call is over.
    piece.fill(0x50);
    await held;
  }
  return await inspection.end();
}

/** Repeats one chunk `count` times between a head and an end. */
async function* repeated(
  head: Buffer,
  chunk: Buffer,
  count: number,
  end: Buffer,
): AsyncGenerator<Buffer> {
  yield head;
  for (let i = 0; i < count; i++) yield chunk;
  yield end;
}

describe('Inspection of module zips', function () {
  this.timeout(60_000);

  const random = new Random();
  const entries: ZipEntry[] = [
    {
      name: `${PREFIX}go.mod`,
      content: 'module example.com/x\n',
      deflate: true,
      descriptor: 'signed',
    },
    { name: `${PREFIX}a.go`, content: seededBytes(5000), descriptor: 'bare' },
    { name: `${PREFIX}PK.bin`, content: 'PK\x03\x04PK\x01\x02'.repeat(500), descriptor: 'bare64' },
    { name: `${PREFIX}b.go`, content: Buffer.alloc(100_000, 'text '), deflate: true },
    { name: `${PREFIX}large`, content: seededBytes(200_000), deflate: true, descriptor: 'signed' },
    { name: `${PREFIX}wide`, content: seededBytes(300), zip64: true },
    { name: `${PREFIX}empty`, content: '', deflate: true, descriptor: 'signed64' },
  ];

  it(`gives the same however a body is cut into pieces, seed ${random.seed}`, async () => {
    const h1 = expected(entries);
    const zip = buildZip(entries);
    expect(await inspect(zip, () => 1)).to.deep.equal({ h1 });
    expect(await inspect(zip, () => MIB)).to.deep.equal({ h1 });
    for (let i = 0; i < SPLITS; i++) {
      const most = random.pick([10, 1000, 70_000, 200_000]);
      expect(await inspect(zip, () => random.integer(1, most))).to.deep.equal({ h1 });
    }
  });

  it('takes 65,600 empty files', async () => {
    const many = Array.from({ length: 65_600 }, (_, i) => ({
      name: `${PREFIX}f${i}`,
      content: '',
    }));
    expect(await inspect(buildZip(many), () => 64 * 1024)).to.deep.equal({ h1: expected(many) });
  });

  it('takes zips up to 500 MiB and refuses what is a byte longer', async () => {
    const name = `${PREFIX}one`;
    const chunk = Buffer.alloc(MIB);
    const frame = buildZip([{ name, content: '' }]);
    const size = MAX_ZIP - frame.length;
    const whole = createHash('sha256');
    for (let left = size; left > 0; left -= chunk.length)
      whole.update(chunk.subarray(0, Math.min(left, chunk.length)));
    const facts = { packed: size, size, crc: 0 };
    const head = buildZip([{ name, content: '', local: facts, central: facts }]);
    const split = 30 + name.length;
    const rest = Buffer.concat([
      chunk.subarray(0, size % MIB),
      patchedEnd(head.subarray(split), size),
    ]);
    const body = (more: Buffer): AsyncGenerator<Buffer> =>
      repeated(head.subarray(0, split), chunk, Math.floor(size / MIB), Buffer.concat([rest, more]));
    const h1 = dirHash([{ name, sha256: whole.digest('hex') }]);
    expect(await hashModuleZip(body(Buffer.alloc(0)), OF)).to.deep.equal({ h1 });
    const { problem, h1: none } = await hashModuleZip(body(Buffer.alloc(1)), OF);
    expect(problem).to.include('larger than 524288000 bytes');
    expect(none).to.equal(undefined);
  });

  it('stops unpacking a bomb at the limit, in bounded memory', async () => {
    const block = deflateRawSync(Buffer.alloc(16 * MIB), { finishFlush: 3 });
    const raw = Buffer.concat([...Array.from({ length: 64 }, () => block), Buffer.from([3, 0])]);
    const size = 1024 * MIB;
    const central = { size, crc: 0 };
    const zip = buildZip([{ name: `${PREFIX}bomb`, content: '', deflate: true, raw, central }]);
    expect(zip.length).to.be.below(1.1 * MIB);
    const before = process.memoryUsage().rss;
    const found = await inspect(zip, () => 64 * 1024);
    expect(found.problem).to.include('larger than');
    expect(process.memoryUsage().rss - before).to.be.below(64 * MIB);
  });

  it('does not say of a header that lies, and of nothing else, what the client would do', async () => {
    const lying: ZipEntry[] = entries.map((entry) => ({ ...entry, descriptor: undefined }));
    lying[1] = { name: `${PREFIX}a.go`, content: seededBytes(5000), local: { packed: 4000 } };
    const found = await inspect(buildZip(lying), () => 1000);
    expect(found.h1).to.equal(undefined);
    expect(found.problem).to.equal(undefined);
    expect(found.unknown).to.include('a.go');
  });

  it('lets go of a body that was cut', async () => {
    const inspection = new ZipInspection(OF);
    await inspection.write(buildZip(entries).subarray(0, 150_000));
    inspection.abort();
    expect(inspection.write(Buffer.alloc(1))).to.equal(undefined);
    expect((await inspection.end()).h1).to.equal(undefined);
    inspection.abort();
  });

  it('passes on what the body fails with', async () => {
    async function* body(): AsyncGenerator<Buffer> {
      yield buildZip(entries).subarray(0, 1000);
      throw new Error('the disk is gone');
    }
    const failure = await hashModuleZip(body(), OF).catch((error: unknown) => error);
    expect(failure).to.be.an('error').with.property('message', 'the disk is gone');
  });
});

/** A directory behind `size` bytes more of content. */
function patchedEnd(end: Buffer, size: number): Buffer {
  const patched = Buffer.from(end);
  const at = patched.length - 22 + 16;
  patched.writeUInt32LE(patched.readUInt32LE(at) + size, at);
  return patched;
}
