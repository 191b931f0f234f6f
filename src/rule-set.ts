import type { ServiceKey } from './component.ts';
import type { ComponentRegistry } from './component-registry.ts';
import type { Rule as RuleConfig } from './config/config.ts';
import { ChainFetcher, isChainLink } from './fetchers/chain-fetcher.ts';
import type { Fetcher } from './fetchers/fetcher.ts';
import { UpstreamsFetcher } from './fetchers/upstreams-fetcher.ts';
import type { Rule } from './http/rule-router.ts';
import type { Protocol } from './protocol/protocol.ts';
import type { PullThrough } from './protocol/pull-through.ts';
import { RULE_PARTS, type RuleParts } from './protocol/rule.ts';
import type { Stasher } from './stashers/stasher.ts';

/** A rule in working order, or why it is off. */
export interface BuiltRule {
  readonly config: RuleConfig;
  /** Absent: it is off. */
  readonly rule: Rule | undefined;
  /** Why it is off. Absent: it is not. */
  readonly off?: string | undefined;
  /** Where it fetches from, for the banner. */
  readonly sources: readonly string[];
  /** What of its upstreams' list is left out, and why; one sentence each. */
  readonly notes: readonly string[];
}

/** Protocols whose clients read plain text, and so their errors too. */
const TEXT_PROTOCOLS = new Set(['go']);

/** Makes every rule's fetcher chain, stasher and protocol. Throws what a component throws while it is made. */
export async function buildRules(
  rules: readonly RuleConfig[],
  components: ComponentRegistry,
  pullThrough: PullThrough,
): Promise<readonly BuiltRule[]> {
  const built: BuiltRule[] = [];
  for (const config of rules) built.push(await buildRule(config, components, pullThrough));
  return built;
}

async function buildRule(
  config: RuleConfig,
  components: ComponentRegistry,
  pullThrough: PullThrough,
): Promise<BuiltRule> {
  const fetchers: Fetcher[] = [];
  for (const name of config.fetch)
    fetchers.push(await components.component<Fetcher>('fetcher', name));
  // What is private is neither given to peers nor asked of them.
  const allowed = config.private ? fetchers.filter((fetcher) => !isChainLink(fetcher)) : fetchers;
  const usable = allowed.filter((fetcher) => reasonOff(fetcher) === undefined);
  const sources = fetchers.flatMap((fetcher) =>
    fetcher instanceof UpstreamsFetcher ? fetcher.upstreams : [fetcher.name],
  );
  const notes = fetchers.flatMap((fetcher) =>
    fetcher instanceof UpstreamsFetcher ? fetcher.notes : [],
  );
  if (usable.length === 0) return { config, rule: undefined, off: whyOff(allowed), sources, notes };
  const stasher = await components.component<Stasher>('stasher', config.stash);
  const parts: RuleParts = {
    settings: config,
    fetcher: new ChainFetcher(usable, { fallthrough: config.fallthrough }),
    stasher,
    pullThrough,
  };
  const protocol = await components.protocol<Protocol>(
    config.protocol,
    config.name,
    config.options,
    new Map<ServiceKey<unknown>, unknown>([[RULE_PARTS, parts]]),
  );
  const errorFormat = TEXT_PROTOCOLS.has(config.protocol) ? 'text' : 'json';
  const { name, host, path, strip } = config;
  return {
    config,
    sources,
    notes,
    rule: { name, host, path, strip, protocol, errorFormat, private: config.private },
  };
}

function whyOff(fetchers: readonly Fetcher[]): string {
  if (fetchers.length === 0) return 'it is private, and only peers are named as fetchers';
  return fetchers.map(reasonOff).join('; ');
}

function reasonOff(fetcher: Fetcher): string | undefined {
  return fetcher instanceof UpstreamsFetcher && !fetcher.usable ? fetcher.reason : undefined;
}
