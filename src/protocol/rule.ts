import type { ServiceKey } from '../component.ts';
import type { Fetcher } from '../fetchers/fetcher.ts';
import type { Stasher } from '../stashers/stasher.ts';
import type { FillMode, NetworkMode } from './fill-modes.ts';
import type { PullThrough } from './pull-through.ts';
import type { FreshnessProfile } from './semantics.ts';
import type { Validator } from './validator.ts';

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
  readonly mode: FillMode;
  readonly network: NetworkMode;
  /** True: neither given to peers nor asked of them. */
  readonly private: boolean;
  /** `bypass`: requests with Cookie pass through. `ignore`: cookies make no difference to what is kept. */
  readonly cookies: 'bypass' | 'ignore';
  /** A range of what is not kept: `forward` asks for it alone and keeps it as a part, `whole` fetches the whole once for all ranges. */
  readonly ranges: 'forward' | 'whole';
  /** Whether clients see Surrogate-Key and Cache-Tag; peers do in any case. */
  readonly tags: 'forward' | 'strip';
  /** Tells the rule from a former one of its name, so that what runs for that one is not shared. Absent: there is none. */
  readonly edition?: string | undefined;
}

/** How a chain differs from the rule's own. */
export interface ChainRequest {
  /** Absent: those of the rule. */
  readonly fetchers?: readonly Fetcher[] | undefined;
  /** True: without peers. */
  readonly private: boolean;
  readonly mode: FillMode;
  /** For messages: `rule go, modules[0]`. */
  readonly where: string;
}

/** What a protocol is made from, besides its own options: one rule with its parts in place. */
export interface RuleParts {
  readonly settings: RuleSettings;
  /** Scheme, host and prefix under which this node and its peers know the rule: a target behind it is an address of it. */
  readonly base: string;
  readonly fetcher: Fetcher;
  /** A chain like the rule's own, for a part of what it serves. Throws `invalid` where nothing is left to ask, or no address to redirect to. */
  chain(options: ChainRequest): Fetcher;
  /** The same fetcher, counted as in use while it fetches. For those of a protocol's own, which are closed with the rule. */
  held(fetcher: Fetcher): Fetcher;
  readonly stasher: Stasher;
  readonly pullThrough: PullThrough;
  /** Absent: everything may be served. */
  readonly validator?: Validator | undefined;
}

/** The rule that a protocol is being made for; only there while a protocol is made. */
export const RULE_PARTS: ServiceKey<RuleParts> = { description: 'rule parts' };
