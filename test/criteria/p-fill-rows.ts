import { expect } from 'chai';
import { HttpClient, readBytes } from '../support/http-client.ts';
import { listUploads } from './bucket-files.ts';
import { eventually } from './eventually.ts';
import { entryRows, keptBodies, temporaryFiles } from './node-files.ts';
import type { PPlace } from './p-place.ts';
import { type Site, xCache } from './site.ts';

/** Bytes that the origin sends before it waits: more than fits into the buffers of a connection's start. */
const FIRST = 64 * 1024;
const MIB = 1024 ** 2;

/** One fetch for all who ask, while it runs and when it breaks: P9 to P12. */
export function pFillRows(place: () => PPlace): void {
  const site = (): Site => place().site;

  it('P9: the first bytes reach the client while the origin holds back the rest', async () => {
    const path = '/held';
    const gate = Promise.withResolvers<void>();
    site().serve(path, { size: MIB, pause: { at: FIRST, until: gate.promise } });
    const answer = await site().client.stream(site().node.url + path);
    try {
      const began = await readBytes(answer.body, FIRST);
      expect(began.equals(site().bytes(path, FIRST))).to.equal(true);
    } finally {
      gate.resolve();
    }
    let rest = 0;
    for await (const chunk of answer.body) rest += (chunk as Buffer).length;
    expect(rest).to.equal(MIB - FIRST);
    await eventually('its row', () => entryRows(site().node, path)[0]);
    const again = await site().get(path);
    expect(xCache(again)).to.equal('HIT');
    expect(again.body.equals(site().bytes(path, MIB))).to.equal(true);
    expect(site().origin.counts(path).requests).to.equal(1);
  });

  it('P10: fifty clients share one fetch, also those that come when the body is on its way', async () => {
    const path = '/slow';
    const gate = Promise.withResolvers<void>();
    site().serve(path, { size: 2 * MIB, pause: { at: MIB, until: gate.promise } });
    const url = site().node.url + path;
    const early = Array.from({ length: 40 }, async () => await site().client.get(url));
    const first = await site().client.stream(url);
    await readBytes(first.body, FIRST);
    const late = Array.from({ length: 9 }, async () => await site().client.stream(url));
    const latest = await Promise.all(late);
    await Promise.all(latest.map(async ({ body }) => await readBytes(body, FIRST)));
    gate.resolve();
    for (const answer of await Promise.all(early)) {
      expect(answer.body.equals(site().bytes(path, 2 * MIB))).to.equal(true);
    }
    for (const { body } of [first, ...latest]) {
      let rest = 0;
      for await (const chunk of body) rest += (chunk as Buffer).length;
      expect(rest).to.be.within(1, 2 * MIB - FIRST);
    }
    expect(site().origin.counts(path).requests).to.equal(1);
  });

  for (const [name, size, cut] of [
    ['small', 40_000, 20_000],
    ['large', 12 * MIB, 10 * MIB],
  ] as const) {
    it(`P11: a ${name} body that the origin cuts breaks off at the client too and leaves nothing`, async () => {
      const path = `/cut-${name}?size=${size}`;
      site().serve(`/cut-${name}`, (_, number) => (number === 1 ? { cut } : undefined));
      await using client = new HttpClient();
      const outcome = await client
        .getCut(site().node.url + path)
        .catch((error: Error) => ({ error }));
      expect(outcome.error).to.be.instanceOf(Error);
      expect(entryRows(site().node, path)).to.deep.equal([]);
      await eventually('no temporary file', async () => {
        const uploads = await listUploads(place().storage);
        return [...(await temporaryFiles(site().node)), ...uploads].length === 0;
      });
      const again = await site().get(path);
      expect(xCache(again)).to.equal('MISS');
      expect(again.body.equals(site().bytes(path, size))).to.equal(true);
      expect(site().origin.counts(path).requests).to.equal(2);
    });
  }

  it('P12: a fill goes on when its client leaves, and the next one has a HIT', async () => {
    const path = '/left';
    const gate = Promise.withResolvers<void>();
    site().serve(path, { size: 4 * MIB, pause: { at: FIRST, until: gate.promise } });
    const leaving = new AbortController();
    const answer = await site().client.stream(site().node.url + path, { signal: leaving.signal });
    await readBytes(answer.body, FIRST);
    answer.body.on('error', () => {});
    leaving.abort();
    gate.resolve();
    const row = await eventually('its row', () => entryRows(site().node, path)[0]);
    expect(row.size).to.equal(4 * MIB);
    expect(await keptBodies(site().node)).to.include(row.digest);
    const next = await site().get(path);
    expect(xCache(next)).to.equal('HIT');
    expect(next.body.equals(site().bytes(path, 4 * MIB))).to.equal(true);
    expect(site().origin.counts(path).requests).to.equal(1);
  });
}
