import { expect } from 'chai';
import { bodyRow } from '../../src/house-schemas.ts';
import { reindexRow } from '../../src/reindex-schemas.ts';
import { tarRow } from '../../src/tar-schemas.ts';
import { blocksOf, document } from './documents.ts';

describe('the lines of copy, backup, restore, reindex and tar files in docs/cli.md', () => {
  for (const [shape, schema] of [
    ['copy', bodyRow],
    ['reindex', reindexRow],
    ['tar', tarRow],
  ] as const) {
    it(`shows those of ${shape} as they are`, () => {
      const block = blocksOf(document('docs/cli.md')).find(({ words }) =>
        words.includes(`shape=${shape}`),
      );
      const shown = JSON.parse(block?.text ?? '') as unknown;
      // Unknown keys would be gone.
      expect(schema.parse(shown)).to.deep.equal(shown);
    });
  }
});
