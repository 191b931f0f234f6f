import type { ServiceKey } from '../component.ts';
import type { Fetcher } from '../fetchers/fetcher.ts';
import type { Stasher } from '../stashers/stasher.ts';
import type { FreshnessProfile } from './freshness.ts';
import type { PullThrough } from './pull-through.ts';

/** What a protocol needs to know of the rule it serves; the configuration's rule is one. */
export interface RuleSettings {
  readonly name: string;
  /** Namespace of the manifest. Absent: the protocol's own. */
  readonly namespace?: string | undefined;
  readonly freshness: FreshnessProfile;
  /** True: the client's Host is sent to the origin instead of the origin's own. */
  readonly preserveHost: boolean;
  /** False: a client's Cache-Control or Pragma does not make a stored answer be asked about. */
  readonly honorClientReload: boolean;
  /** `bypass`: requests with Cookie pass through. `ignore`: cookies make no difference to what is kept. */
  readonly cookies: 'bypass' | 'ignore';
}

/** What a protocol is made from, besides its own options: one rule with its parts in place. */
export interface RuleParts {
  readonly settings: RuleSettings;
  readonly fetcher: Fetcher;
  readonly stasher: Stasher;
  readonly pullThrough: PullThrough;
}

/** The rule that a protocol is being made for; only there while a protocol is made. */
export const RULE_PARTS: ServiceKey<RuleParts> = { description: 'rule parts' };
