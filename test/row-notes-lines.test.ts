import { expect } from 'chai';
import { PUT_COLUMNS, toRowValues } from '../src/manifest/entry-row.ts';
import {
  decodeLines,
  encodeLine,
  type SegmentHead,
  type SegmentLine,
} from '../src/row-notes-lines.ts';
import { newEntry } from './support/manifest-fixtures.ts';

const HEAD: SegmentHead = {
  ...{ op: 'head', version: 1, manifest: '0123456789abcdef', at: 5 },
  ...{ rules: ['site'], cursor: { web: 7 }, floors: { web: 0 } },
};
const PUT: SegmentLine = {
  ...{ op: 'put', namespace: 'web', jid: 7, firstSeenAt: 4 },
  values: toRowValues(newEntry('ключ\n\u2028\ud800'), 3),
};
const DELETE: SegmentLine = { op: 'delete', namespace: 'web', jid: 6, key: 'k', variant: '' };
const PURGE: SegmentLine = {
  ...{ op: 'purge', namespace: 'web', jid: 5, kind: 'prefix', value: 'k', soft: false, at: 2 },
};

function decoded(text: string | Buffer): (SegmentLine | undefined)[] {
  return [...decodeLines(Buffer.from(text))];
}

describe('lines of notes', () => {
  it('come back as they were, one a line', () => {
    const lines = [HEAD, PUT, DELETE, { ...DELETE, rule: 'site' }, PURGE];
    const text = lines.map(encodeLine).join('');
    expect(text.split('\n')).to.have.length(lines.length + 1);
    expect(decoded(text)).to.deep.equal(lines);
    expect(decoded('')).to.deep.equal([]);
  });

  it('are known to be damaged whatever bit flips, and the next one is read', () => {
    const line = Buffer.from(encodeLine(DELETE));
    const next = Buffer.from(encodeLine(PURGE));
    for (let bit = 0; bit < (line.length - 1) * 8; bit++) {
      const bytes = Buffer.concat([line, next]);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const found = decoded(bytes);
      expect(
        found.slice(0, -1).every((one) => one === undefined),
        `bit ${bit}`,
      ).to.equal(true);
      expect(found.at(-1)).to.deep.equal(PURGE);
    }
  });

  it('are damaged where they are cut', () => {
    const line = encodeLine(DELETE);
    for (let end = 1; end < line.length; end++)
      expect(decoded(line.slice(0, end)), `${end}`).to.deep.equal([undefined]);
  });

  it('are left out where they are of another form, whatever their checksum says', () => {
    const short = { ...PUT, values: PUT_COLUMNS.slice(1).map(() => 'x') };
    const wrong = { ...PUT, values: PUT_COLUMNS.map(() => 'x') };
    for (const line of [short, wrong, { ...HEAD, version: 2 }, { op: 'else' }, [], null, 'text'])
      expect(decoded(encodeLine(line as unknown as SegmentLine))).to.deep.equal([undefined]);
  });
});
