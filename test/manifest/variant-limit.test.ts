import { expect } from 'chai';
import type { SqliteManifest } from '../../src/manifest/sqlite-manifest.ts';
import { openIn, put } from '../support/manifest-fixtures.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const MANY = 200;
const KEPT = 64;

describe('variants of a key', () => {
  let folder: TempFolder;
  beforeEach(async () => {
    folder = await tempFolder();
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  async function variants(manifest: SqliteManifest): Promise<string[]> {
    return (await manifest.lookup('web', 'a')).map(({ variant }) => variant);
  }

  it('H-38: are 64 at most, in memory and on disk: the oldest goes', async () => {
    const kept = Array.from({ length: KEPT }, (_, index) => `v${MANY - 1 - index}`);
    const manifest = await openIn(folder.path);
    await manifest.commit([put('b', 0, { variant: 'v0' }), put('a')]);
    for (let number = 0; number < MANY; number++) {
      const written = manifest.commit([put('a', 0, { variant: `v${number}` })]);
      expect(await variants(manifest)).to.have.length.at.most(KEPT);
      await written;
    }
    expect(await variants(manifest)).to.deep.equal(kept);
    await manifest[Symbol.asyncDispose]();
    await using again = await openIn(folder.path);
    expect(await variants(again)).to.deep.equal(kept);
    expect(await again.lookup('web', 'b')).to.have.length(1);
    const { rows } = await again.journal('web', '', 1000);
    const gone = rows.filter(({ op }) => op === 'delete');
    expect(gone.map(({ variant }) => variant)).to.deep.equal([
      '',
      ...Array.from({ length: MANY - KEPT }, (_, index) => `v${index}`),
    ]);
    expect(rows.map(({ jid }) => jid)).to.deep.equal(rows.map((_, index) => index + 1));
  });

  it('H-38: a new answer of one that is kept takes no other away', async () => {
    await using manifest = await openIn(folder.path);
    const numbers = Array.from({ length: KEPT }, (_, index) => index);
    await manifest.commit(numbers.map((number) => put('a', 0, { variant: `v${number}` })));
    await manifest.commit([put('a', 0, { variant: 'v0' })]);
    expect((await variants(manifest)).toSorted()).to.deep.equal(
      numbers.map((number) => `v${number}`).toSorted(),
    );
  });
});
