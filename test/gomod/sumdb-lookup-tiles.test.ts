import { expect } from 'chai';
import { SumdbClient } from '../../src/gomod/sumdb-client.ts';
import { fullTileOf, readLookupTree, tilesOf } from '../../src/gomod/sumdb-lookup-tiles.ts';
import { SumdbLog, sumdbSigner, sumOf } from '../support/sumdb.ts';

const SIZES = [1, 3, 255, 256, 257, 300, 512, 700, 1024, 1300];
const RECORDS = [0, 2, 100, 255, 256, 299, 511, 600, 1000, 1299];

describe('tilesOf', () => {
  it('has what a client needs to prove lookups of trees of many sizes, in any order', async () => {
    const log = new SumdbLog(sumdbSigner('sums.test'));
    const kept = new Map<string, Buffer>();
    for (let id = 0; id < (SIZES.at(-1) ?? 0); id += 1)
      log.add('example.com/m', `v1.${id}.0`, { zip: sumOf(`z${id}`), mod: sumOf(`m${id}`) });
    const trees = SIZES.map((size, at) => {
      log.size = size;
      const path = `/lookup/example.com/m@v1.${RECORDS[at]}.0`;
      const answer = log.answer(path) ?? Buffer.alloc(0);
      kept.set(path, answer);
      return readLookupTree(answer) ?? expect.fail(`no tree in ${path}`);
    });
    expect(trees.map(({ id, size }) => [id, size])).to.deep.equal(
      RECORDS.map((id, at) => [id, SIZES[at]]),
    );
    for (const path of tilesOf(trees)) kept.set(path, log.answer(path) ?? Buffer.alloc(0));
    const orders = [
      RECORDS,
      RECORDS.toReversed(),
      [600, 0, 1299, 100, 1000, 255, 2, 511, 256, 299],
    ];
    for (const order of orders) {
      const missing: string[] = [];
      const client = new SumdbClient({
        key: log.signer.key,
        read: async (path) => {
          if (!kept.has(path)) missing.push(path);
          return kept.get(path);
        },
      });
      for (const id of order) {
        const record = await client.lookup('example.com/m', `v1.${id}.0`);
        expect(record?.zip).to.equal(sumOf(`z${id}`));
      }
      expect(missing).to.deep.equal([]);
    }
  });

  it('is empty without lookups', () => {
    expect([...tilesOf([])]).to.deep.equal([]);
  });
});

describe('readLookupTree', () => {
  for (const text of ['', 'not found\n', '5\na b\n\ngo.sum database tree\n5\nAAAA\n']) {
    it(`takes ${JSON.stringify(text)} for no lookup`, () => {
      expect(readLookupTree(Buffer.from(text))).to.equal(undefined);
    });
  }
});

describe('fullTileOf', () => {
  it('names the tile that a part belongs to', () => {
    expect(fullTileOf('sumdb/a.p/x/tile/8/0/x001/234.p/17')).to.equal(
      'sumdb/a.p/x/tile/8/0/x001/234',
    );
    expect(fullTileOf('tile/8/0/001')).to.equal(undefined);
  });
});
