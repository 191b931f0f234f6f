import { NodeProcess } from '../support/node-process.ts';
import type { CacheSuite } from './cache-suite.ts';
import type { Profile } from './expected-failures.ts';
import { outcomesOf, type TestOutcome } from './outcomes.ts';
import { runPass, type SuiteOrigin } from './suite-run.ts';

/** Keys of the rule that is measured, beside its name, protocol and fetcher; `strict` is what a rule is without any. */
export const RULES: Readonly<Record<Profile, Readonly<Record<string, unknown>>>> = {
  rfc: {
    freshness: 'rfc',
    cookies: 'ignore',
    setCookie: 'store',
    languageOrder: 'ignore',
    staleOnDisconnect: '1h',
  },
  strict: {},
};

/** Two nodes and the suite start at the same time. */
const READY_MS = 60_000;

/** One pass of the suite through a real node whose only rule has a profile. */
export async function measure(
  suite: CacheSuite,
  origin: SuiteOrigin,
  profile: Profile,
): Promise<readonly TestOutcome[]> {
  await using node = await NodeProcess.start({
    readyMs: READY_MS,
    config: {
      log: { access: false },
      // A disk that others keep busy would make seconds of what the suite holds to be at once.
      storage: { local: { type: 'memory' } },
      fetchers: { suite: { type: 'origin', url: origin.url } },
      rules: [{ name: 'suite', protocol: 'http', fetch: 'suite', ...RULES[profile] }],
    },
  });
  return outcomesOf(suite.groups, await runPass(suite, node.url));
}
