import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { goAnswerDefects } from './go-answer-defects.ts';
import { goFillDefects } from './go-fill-defects.ts';
import { startGoSite } from './go-site.ts';
import type { Site } from './site.ts';

/** A defect that tests of another file cover: the file and a title in it. */
interface Elsewhere {
  readonly file: string;
  readonly title: string;
}

/** What is told of other module proxies (B1 to B25) and has no test below: where it is tested, or why it is not. */
const OTHERS: Readonly<Record<string, Elsewhere | string>> = {
  B7: 'the store has no size limit of its own yet; purges are tested with the criteria of M and P',
  B10: { file: 'protocol/go-hostile.test.ts', title: 'an error and no absence, kept nowhere' },
  B18: { file: 'integration/go-client-bytes.test.ts', title: 'streams a zip of 300 MiB' },
  B22: { file: 'protocol/go-rules.test.ts', title: 'rule 8: needs no go command to serve' },
};

describe('defects of other module proxies', function () {
  this.timeout(30_000);

  let site: Site;
  before(async () => {
    site = await startGoSite();
  });
  after(async () => {
    await site?.[Symbol.asyncDispose]();
  });

  goFillDefects(() => site);
  goAnswerDefects(() => site);

  for (const [defect, other] of Object.entries(OTHERS)) {
    if (typeof other === 'string') continue;
    it(`${defect}: is covered by ${other.file}`, () => {
      const path = fileURLToPath(new URL(`../${other.file}`, import.meta.url));
      expect(existsSync(path), path).to.equal(true);
      expect(readFileSync(path, 'utf8')).to.include(other.title);
    });
  }
});
