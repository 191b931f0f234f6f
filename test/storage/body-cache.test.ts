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

  it('does not keep a body above 1 MiB', () => {
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
