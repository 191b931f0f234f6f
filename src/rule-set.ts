import type { Clock } from './clock.ts';
import type { ServiceKey } from './component.ts';
import type { ComponentRegistry } from './component-registry.ts';
import type { Rule as RuleConfig } from './config/config.ts';
import type { ListenAddress } from './config/patterns.ts';
import { ProxyError } from './errors.ts';
import { ChainFetcher, isChainLink } from './fetchers/chain-fetcher.ts';
import type { ClusterNodes } from './fetchers/cluster-nodes.ts';
import type { Fetcher } from './fetchers/fetcher.ts';
import { OwnerFetcher } from './fetchers/owner-fetcher.ts';
import { UpstreamsFetcher } from './fetchers/upstreams-fetcher.ts';
import type { Rule } from './http/rule-router.ts';
import type { Leases } from './leases.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Protocol } from './protocol/protocol.ts';
import type { PullThrough } from './protocol/pull-through.ts';
import { RULE_PARTS, type RuleParts } from './protocol/rule.ts';
import { Validator } from './protocol/validator.ts';
import { type Stasher, withStash } from './stashers/stasher.ts';

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

/** What rules are made with, all of them alike. */
export interface RuleContext {
  readonly components: ComponentRegistry;
  readonly pullThrough: PullThrough;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Where clients reach the node. */
  readonly listen: ListenAddress;
  /** The nodes that share keys with this one, and the milliseconds within which the owner of one must give a sign of life. Absent: none does. */
  readonly cluster?: { readonly nodes: ClusterNodes; readonly signMs: number } | undefined;
  /** Counts who uses what is made. Absent: nobody asks. */
  readonly leases?: Leases | undefined;
  /** By name of a rule: tells it from a former one of that name. Absent: there is none. */
  readonly editions?: ReadonlyMap<string, string> | undefined;
}

/** Protocols whose clients read plain text, and so their errors too. */
const TEXT_PROTOCOLS = new Set(['go']);

/** Makes every rule's fetcher chain, stasher and protocol. Throws what a component throws while it is made. */
export async function buildRules(
  rules: readonly RuleConfig[],
  context: RuleContext,
): Promise<readonly BuiltRule[]> {
  const built: BuiltRule[] = [];
  for (const config of rules) built.push(await buildRule(config, context));
  return built;
}

/** An address that a rule takes, up to where its target begins; what the node asks itself goes by it, and peers find their rule by it. */
export function ruleBase({ host, path, strip }: RuleConfig, listen: ListenAddress): string {
  const name = listen.host.includes(':') ? `[${listen.host}]` : listen.host;
  const own = listen.port === 80 ? name : `${name}:${listen.port}`;
  const prefix = strip ? path.replace(/\/\*$/, '') : '';
  return `http://${host?.replace(/^\*/, 'any') ?? own}${prefix}`;
}

async function buildRule(config: RuleConfig, context: RuleContext): Promise<BuiltRule> {
  const { components } = context;
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
  const held: RuleParts['held'] = (fetcher) => heldFetcher(fetcher, context.leases);
  const chain: RuleParts['chain'] = (options) =>
    held(createChain(config, usable, options, context));
  const parts: RuleParts = {
    settings: { ...config, edition: context.editions?.get(config.name) },
    base: ruleBase(config, context.listen),
    fetcher: chain({ private: config.private, mode: config.mode, where: `rule ${config.name}` }),
    chain,
    held,
    stasher: heldStasher(stasher, context.leases),
    pullThrough: context.pullThrough,
    validator: createValidator(config, context),
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

function createChain(
  { fallthrough }: RuleConfig,
  own: readonly Fetcher[],
  { fetchers = own, private: isPrivate, mode, where }: Parameters<RuleParts['chain']>[0],
  { cluster, clock, log, metrics }: RuleContext,
): Fetcher {
  // What is private is neither given to peers nor asked of them.
  const asked = isPrivate ? fetchers.filter((fetcher) => !isChainLink(fetcher)) : fetchers;
  if (asked.length === 0)
    throw invalid(`${where} is private, and only peers are named as fetchers`);
  if (mode.endsWith('redirect') && asked.every(({ locate }) => locate === undefined))
    throw invalid(
      `${where}: mode ${mode} needs a fetcher with an address for clients, such as one of type origin`,
    );
  const chain = new ChainFetcher(asked, { fallthrough });
  if (cluster === undefined || isPrivate) return chain;
  const { nodes, signMs } = cluster;
  const owners = nodes.owners.bind(nodes);
  return new OwnerFetcher({ own: chain, owners, signMs, clock, log, metrics });
}

/** Each fetch is one user from when it is asked until its body ended. */
function heldFetcher(inner: Fetcher, leases: Leases | undefined): Fetcher {
  if (leases === undefined) return inner;
  return {
    name: inner.name,
    locate: inner.locate?.bind(inner),
    fetch: async (request, options) => {
      const lease = leases.take();
      try {
        const fetched = await inner.fetch(request, options);
        if (fetched.body.closed) lease[Symbol.dispose]();
        else fetched.body.once('close', () => lease[Symbol.dispose]());
        return fetched;
      } catch (error) {
        lease[Symbol.dispose]();
        throw error;
      }
    },
  };
}

function heldStasher(inner: Stasher, leases: Leases | undefined): Stasher {
  if (leases === undefined) return inner;
  return withStash(inner, async (stashable, options) => {
    using _ = leases.take();
    return await inner.stash(stashable, options);
  });
}

function createValidator(
  { validator }: RuleConfig,
  { clock, log, metrics }: RuleContext,
): Validator | undefined {
  return validator && new Validator({ ...validator, clock, log, metrics });
}

function invalid(message: string): ProxyError {
  return new ProxyError('invalid', 'rule-set.build', message);
}

function whyOff(fetchers: readonly Fetcher[]): string {
  if (fetchers.length === 0) return 'it is private, and only peers are named as fetchers';
  return fetchers.map(reasonOff).join('; ');
}

function reasonOff(fetcher: Fetcher): string | undefined {
  return fetcher instanceof UpstreamsFetcher && !fetcher.usable ? fetcher.reason : undefined;
}
