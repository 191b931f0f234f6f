import { expect } from 'chai';
import type { z } from 'zod';
import { exportRow, fillRow, sumdbRow } from '../../src/go-schemas.ts';
import { blocksOf, document } from '../docs/documents.ts';

const SHAPES: Readonly<Record<string, z.ZodType>> = {
  populate: fillRow,
  export: exportRow,
  'verify-sumdb': sumdbRow,
};

describe('docs/cli.md', () => {
  for (const [command, schema] of Object.entries(SHAPES)) {
    it(`shows a line of caje ${command} --json as it is`, () => {
      const blocks = blocksOf(document('docs/cli.md'));
      const shown = blocks.find(({ words }) => words.includes(`shape=${command}`))?.text ?? '';
      expect(schema.parse(JSON.parse(shown))).to.deep.equal(JSON.parse(shown));
    });
  }
});
