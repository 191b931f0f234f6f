import { expect } from 'chai';
import { type CacheSuite, loadSuite } from './cache-suite.ts';
import { expectedFailures, surprises } from './expected-failures.ts';
import { measure } from './measured-node.ts';
import { scoreOf, type TestOutcome } from './outcomes.ts';
import { SuiteOrigin } from './suite-run.ts';

/** Of what the package has for a proxy. */
const REQUIRED = 157;
const OPTIMAL = 86;

describe('the public HTTP cache suite', () => {
  let suite: CacheSuite;
  let rfc: readonly TestOutcome[];
  let strict: readonly TestOutcome[];

  before('run it in both profiles at the same time', async function () {
    // A pass mostly sleeps.
    this.timeout(180_000);
    suite = await loadSuite();
    await using origin = await SuiteOrigin.start(suite);
    [rfc, strict] = await Promise.all([
      measure(suite, origin, 'rfc'),
      measure(suite, origin, 'strict'),
    ]);
  });

  it('is run whole', () => {
    for (const outcomes of [rfc, strict]) {
      expect(scoreOf(outcomes, 'required').total).to.equal(REQUIRED);
      expect(scoreOf(outcomes, 'optimal').total).to.equal(OPTIMAL);
      expect(outcomes.filter(({ outcome }) => outcome === 'untested')).to.deep.equal([]);
    }
  });

  it('passes in profile rfc but for what is listed with a reason', async () => {
    expect(surprises(rfc, await expectedFailures('rfc'))).to.deep.equal([]);
  });

  it('passes in profile strict but for what is listed with a reason', async () => {
    expect(surprises(strict, await expectedFailures('strict'))).to.deep.equal([]);
  });
});
