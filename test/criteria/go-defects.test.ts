import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { goAnswerDefects } from './go-answer-defects.ts';
import { goFillDefects } from './go-fill-defects.ts';
import { DEFECT_RULES, goRuleDefects } from './go-rule-defects.ts';
import { startGoSite } from './go-site.ts';
import type { Site } from './site.ts';

/** A defect that tests of another file cover: the file and a title in it. */
interface Elsewhere {
  readonly file: string;
  readonly title: string;
}

/** What is told of other module proxies (B1 to B25) that others test, besides the tests below: where, or why nobody does. */
const OTHERS: Readonly<Record<string, readonly Elsewhere[] | string>> = {
  B7: 'the store has no size limit of its own yet; purges are tested with the criteria of M and P',
  B10: [
    { file: 'protocol/go-hostile.test.ts', title: 'an error and no absence, kept nowhere' },
    { file: 'fetchers/go-vcs.test.ts', title: 'throws where the host does not answer' },
  ],
  B11: [{ file: 'criteria/fill-modes.test.ts', title: 'Disable-Module-Fetch and /cached-only' }],
  B14: [{ file: 'criteria/go-policies.test.ts', title: 'lookups of hidden modules are 403' }],
  B17: [
    { file: 'protocol/go-catalog.test.ts', title: 'in the order in which they came' },
    { file: 'protocol/go-catalog.test.ts', title: 'one line at a time to whoever asks' },
  ],
  B18: [{ file: 'integration/go-client-bytes.test.ts', title: 'streams a zip of 300 MiB' }],
  B20: [{ file: 'criteria/fill-modes.test.ts', title: 'verdicts are remembered and shared' }],
  B22: [
    { file: 'protocol/go-rules.test.ts', title: 'rule 8: needs no go command to serve' },
    { file: 'fetchers/go-vcs-jobs.test.ts', title: 'end with every process when they take' },
    { file: 'fetchers/go-vcs-jobs.test.ts', title: 'are gone when their time is over' },
    { file: 'fetchers/go-vcs-jobs.test.ts', title: 'removing what a process left that is gone' },
  ],
  B24: [
    { file: 'criteria/go-checks.test.ts', title: 'a zip that the go command would refuse' },
    {
      file: 'criteria/go-checks.test.ts',
      title: 'the last byte of what differs from the database',
    },
    { file: 'protocol/go-hostile-zips.test.ts', title: 'passes on those that a client refuses' },
    { file: 'integration/go-client-bytes.test.ts', title: 'refuses other bytes for a version' },
  ],
};

describe('defects of other module proxies', function () {
  this.timeout(30_000);

  let site: Site;
  before(async () => {
    site = await startGoSite({}, { rules: DEFECT_RULES });
  });
  after(async () => {
    await site?.[Symbol.asyncDispose]();
  });

  goFillDefects(() => site);
  goAnswerDefects(() => site);
  goRuleDefects(() => site);

  for (const [defect, others] of Object.entries(OTHERS)) {
    if (typeof others === 'string') continue;
    for (const { file, title } of others)
      it(`${defect}: is covered in ${file}: ${title}`, () => {
        const path = fileURLToPath(new URL(`../${file}`, import.meta.url));
        expect(readFileSync(path, 'utf8')).to.include(title);
      });
  }
});
