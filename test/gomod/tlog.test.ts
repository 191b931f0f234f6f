import { expect } from 'chai';
import { isSumdbTile } from '../../src/gomod/sumdb-path.ts';
import { SumdbTiles } from '../../src/gomod/sumdb-tiles.ts';
import { joinPeaks, parseRecord, parseTree, peaksOf, recordHash } from '../../src/gomod/tlog.ts';
import { edgeOf, placeOf, tileIn, tilePath } from '../../src/gomod/tlog-tile.ts';
import { TreeReader } from '../../src/gomod/tlog-tree.ts';
import { Random } from '../support/random.ts';
import { SumdbLog, sumdbSigner, sumOf } from '../support/sumdb.ts';

const RECORDS = 600;
/** Milliseconds for hundreds of trees on a busy machine. */
const SLOW_MS = 60_000;
/** Above it whole numbers are no longer exact. */
const LARGEST = Number.MAX_SAFE_INTEGER;

describe('the tree of a checksum database', () => {
  const log = new SumdbLog(sumdbSigner('sums.example.org'));
  for (let i = 0; i < RECORDS; i++)
    log.add('example.com/m', `v1.0.${i}`, { zip: sumOf(`zip ${i}`), mod: sumOf(`mod ${i}`) });

  it('has the hash of RFC 6962 at every size, from complete subtrees', () => {
    for (let size = 0; size <= RECORDS; size++) {
      const hashes = peaksOf(size).map(({ level, index }) =>
        log.hash(index * 2 ** level, (index + 1) * 2 ** level),
      );
      expect(joinPeaks(hashes).equals(log.hash(0, size)), `${size} records`).to.equal(true);
    }
  });

  it('proves each record and each earlier tree from tiles', async () => {
    const random = new Random();
    for (let size = 1; size <= RECORDS; size++) {
      log.size = size;
      const tiles = new SumdbTiles(async (path) => log.answer(path), 1e6);
      const reader = new TreeReader({ size, hash: log.hash(0, size) }, tiles);
      for (const earlier of [0, size, random.integer(0, size)])
        expect(await reader.hashAt(earlier, {})).to.deep.equal(log.hash(0, earlier));
      for (const id of [0, size - 1, random.integer(0, size - 1)])
        expect(await reader.recordHash(id, {})).to.deep.equal(log.hash(id, id + 1));
    }
    log.size = undefined;
  }).timeout(SLOW_MS);

  it('counts as large as whole numbers go', () => {
    for (const size of [1, 255, 256, 65_536, 2 ** 31 + 1, 2 ** 40 - 1, 2 ** 52, LARGEST]) {
      const covered = peaksOf(size).map(
        ({ level, index }) => [BigInt(index) << BigInt(level), 1n << BigInt(level)] as const,
      );
      let next = 0n;
      for (const [from, count] of covered) {
        expect(from).to.equal(next);
        next = from + count;
      }
      expect(next).to.equal(BigInt(size));
      const edge = new Set(edgeOf(size).map(tilePath));
      for (const node of peaksOf(size)) {
        const { level, index, first, count } = placeOf(node);
        const tile = tileIn(size, level, index) ?? expect.fail('no tile');
        expect(edge.has(tilePath(tile))).to.equal(true);
        expect(first + count).to.be.at.most(tile.width);
      }
      expect(
        isSumdbTile(
          tilePath(tileIn(size, 0, Math.floor((size - 1) / 256)) ?? expect.fail()).slice(1),
        ),
      ).to.equal(true);
    }
  });

  const paths = [
    [{ level: 0, index: 0, width: 256 }, '/tile/8/0/000'],
    [{ level: 0, index: 999, width: 1 }, '/tile/8/0/999.p/1'],
    [{ level: 1, index: 1000, width: 256 }, '/tile/8/1/x001/000'],
    [{ level: 4, index: 1_234_067, width: 255 }, '/tile/8/4/x001/x234/067.p/255'],
  ] as const;
  for (const [tile, path] of paths) {
    it(`has a tile at ${path}`, () => {
      expect(tilePath(tile)).to.equal(path);
      expect(isSumdbTile(path.slice(1))).to.equal(true);
    });
  }
});

describe('texts of a checksum database', () => {
  const root = recordHash(Buffer.from('x\n')).toString('base64');
  const tree = (text: string) => parseTree(Buffer.from(text));

  it('describe a tree, with more lines behind', () => {
    for (const more of ['', 'more\nlines\n'])
      expect(tree(`go.sum database tree\n17\n${root}\n${more}`)).to.deep.equal({
        size: 17,
        hash: Buffer.from(root, 'base64'),
      });
  });

  const noTrees = [
    '',
    'go.sum database tree\n',
    `go.sum database tree v2\n17\n${root}\n`,
    `go.sum database tree\n17\n${root}`,
    `go.sum database tree\n-1\n${root}\n`,
    `go.sum database tree\n+1\n${root}\n`,
    `go.sum database tree\n017\n${root}\n`,
    `go.sum database tree\n9007199254740992\n${root}\n`,
    `go.sum database tree\n17\n${root.slice(4)}\n`,
    `go.sum database tree\n17\n${root.slice(0, -1)}\n`,
    `go.sum database tree\n17\n${root} \n`,
  ];
  for (const text of noTrees) {
    it(`describe none as ${JSON.stringify(text)}`, () => {
      expect(tree(text)).to.equal(undefined);
    });
  }

  it('hold a record and what follows', () => {
    expect(parseRecord(Buffer.from('12\na b\nc d\n\nrest\n\nmore'))).to.deep.equal({
      id: 12,
      text: Buffer.from('a b\nc d\n'),
      rest: Buffer.from('rest\n\nmore'),
    });
  });

  for (const text of [
    '',
    '12',
    '12\n',
    '12\n\n',
    '12\na\n',
    '\na\n\n',
    '-1\na\n\n',
    '01\na\n\n',
    '1 \na\n\n',
    '1\na\0\n\n',
    '1\n\xff\n\n',
    '99999999999999999999\na\n\n',
  ]) {
    it(`hold none in ${JSON.stringify(text)}`, () => {
      expect(parseRecord(Buffer.from(text, 'latin1'))).to.equal(undefined);
    });
  }
});
