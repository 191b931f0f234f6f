import { expect } from 'chai';
import { BodyCache, MAX_CACHED_BODY } from '../../src/storage/body-cache.ts';
import { digestOf } from '../../src/storage/digest.ts';
import { seededBytes } from '../support/seeded-bytes.ts';

describe('BodyCache', () => {
  it('gives back what it was given, until it is deleted', () => {
    const cache = new BodyCache();
    const body = seededBytes(100);
    cache.set(digestOf(body), body);
    expect(cache.get(digestOf(body))?.equals(body)).to.equal(true);
    cache.delete(digestOf(body));
    expect(cache.get(digestOf(body))).to.equal(undefined);
  });

  it('stays below its limit and lets the least recently used go', () => {
    const cache = new BodyCache(100_000);
    const bodies = Array.from({ length: 20 }, (_, seed) => seededBytes(10_000, seed));
    const first = bodies[0] as Buffer;
    for (const body of bodies) {
      cache.set(digestOf(body), body);
      cache.get(digestOf(first));
      expect(cache.size).to.be.at.most(100_000);
    }
    const kept = bodies.filter((body) => cache.get(digestOf(body)) !== undefined);
    expect(kept.length).to.equal(9);
    expect(kept[0]).to.equal(first);
  });

  it('reads a body at the second time it is asked for, once for all who ask', async () => {
    const cache = new BodyCache();
    const body = seededBytes(3_000_000);
    const digest = digestOf(body);
    let reads = 0;
    const load = async (): Promise<Buffer | undefined> =>
      await cache.load(digest, body.length, async () => {
        reads += 1;
        await new Promise(setImmediate);
        return body;
      });
    expect(await load()).to.equal(undefined);
    expect(reads).to.equal(0);
    const both = await Promise.all([load(), load()]);
    expect(both.every((one) => one?.equals(body))).to.equal(true);
    expect(reads).to.equal(1);
    expect(cache.get(digest)?.equals(body)).to.equal(true);
  });

  it('reads again what could not be read, and never what is too large', async () => {
    const cache = new BodyCache(64_000_000);
    const digest = digestOf(Buffer.from('x'));
    const broken = async (): Promise<Buffer | undefined> => {
      throw new Error('no disk');
    };
    expect(await cache.load(digest, 1, broken)).to.equal(undefined);
    const failures = await Promise.allSettled([cache.load(digest, 1, broken)]);
    expect(failures[0]?.status).to.equal('rejected');
    expect(String(await cache.load(digest, 1, async () => Buffer.from('x')))).to.equal('x');
    const large = digestOf(Buffer.from('y'));
    for (let round = 0; round < 3; round++)
      expect(await cache.load(large, 2_000_001, broken)).to.equal(undefined);
  });

  it('does not keep a body above 8 MiB', () => {
    const cache = new BodyCache();
    for (const size of [MAX_CACHED_BODY, MAX_CACHED_BODY + 1]) {
      const body = seededBytes(size);
      cache.set(digestOf(body), body);
      expect(cache.get(digestOf(body)) !== undefined).to.equal(size === MAX_CACHED_BODY);
    }
  });

  it('keeps a copy of a piece of a larger buffer, not that buffer', () => {
    const cache = new BodyCache();
    const piece = seededBytes(1000).subarray(10, 20);
    cache.set(digestOf(piece), piece);
    expect(cache.get(digestOf(piece))?.buffer.byteLength).to.equal(10);
  });

  it('keeps nothing where it may use no memory', () => {
    const cache = new BodyCache(0);
    cache.set(digestOf(Buffer.from('x')), Buffer.from('x'));
    expect(cache.get(digestOf(Buffer.from('x')))).to.equal(undefined);
    expect(cache.size).to.equal(0);
  });
});
