import { expect } from 'chai';
import { BodyCheck } from '../support/oracle-bytes.ts';
import { eventually } from './eventually.ts';
import { entryRows } from './node-files.ts';
import { pEdgeRows } from './p-edge-rows.ts';
import { pFillRows } from './p-fill-rows.ts';
import { pFreshRows } from './p-fresh-rows.ts';
import { pKeepRows } from './p-keep-rows.ts';
import { type PPlace, startPPlace } from './p-place.ts';
import { Site, xCache } from './site.ts';
import { STORAGES, type Storage } from './storages.ts';

const MIB = 1024 ** 2;
/** What a node may grow by whatever a body's size (P13). */
const ROOM = 150 * MIB;

/** Bytes of the large body on each kind of storage, and what the storage itself may hold of it in memory. */
const LARGE: Readonly<Record<string, { readonly size: number; readonly held: number }>> = {
  disk: { size: 1024 * MIB, held: 0 },
  // What is kept in memory counts; what its pieces and the collector need beside it is in the room.
  memory: { size: 256 * MIB, held: 256 * MIB },
  S3: { size: 256 * MIB, held: 0 },
  tiered: { size: 256 * MIB, held: 0 },
};

for (const [name, open] of Object.entries(STORAGES)) {
  describe(`criteria on ${name} (S1)`, function () {
    this.timeout(30_000);
    let storage: Storage;
    let place: PPlace;
    before(async function () {
      storage = await open(this);
      place = await startPPlace(storage);
    });
    after(async () => {
      await place?.[Symbol.asyncDispose]();
      await storage?.[Symbol.asyncDispose]();
    });

    pKeepRows(() => place);
    pFreshRows(() => place);
    pFillRows(() => place);
    pEdgeRows(() => place);

    it('P13: a large body is a MISS and a HIT, whole, within bounded memory', async function () {
      this.timeout(90_000);
      const { size, held } = LARGE[name] ?? { size: 0, held: 0 };
      await using site = await Site.start({ storage: storage.options, others: storage.others });
      const key = `/large?size=${size}`;
      await site.get('/warm-up');
      const idle = site.node.memory().rss;
      for (const expected of ['MISS', 'HIT']) {
        const answer = await site.client.stream(site.node.url + key);
        expect(xCache(answer)).to.equal(expected);
        const check = new BodyCheck({ seed: site.origin.seed, key, versions: [1], size });
        for await (const chunk of answer.body) check.write(chunk as Buffer);
        check.end();
        await eventually('its row', () => entryRows(site.node, key)[0]);
      }
      expect(site.origin.counts(key).requests).to.equal(1);
      expect(site.node.memory().peak).to.be.lessThan(idle + ROOM + held);
    });
  });
}
