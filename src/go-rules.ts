import type { Clock } from './clock.ts';
import type { Config, Rule as RuleConfig } from './config/config.ts';
import { didYouMean, listNames } from './config/suggest.ts';
import { ProxyError } from './errors.ts';
import type { HashThread } from './gomod/hash-thread.ts';
import { HeaderList } from './headers.ts';
import type { Manifest } from './manifest/manifest.ts';
import type { Metrics } from './metrics.ts';
import { GO_NAMESPACE, GoProtocol } from './protocol/go-protocol.ts';
import type { ProtocolRequest } from './protocol/protocol.ts';
import { upstreamPath } from './protocol/route-table.ts';
import { type BuiltRule, ruleBase } from './rule-set.ts';
import type { Backend } from './storage/backend.ts';
import { isDigest } from './storage/digest.ts';

/** Name of the protocol whose rules these commands work on. */
export const GO_PROTOCOL: string = 'go';

/** What the commands for Go modules work on, in a running node or without one. */
export interface GoParts {
  readonly config: Config;
  readonly manifest: Manifest;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Where zips are hashed. */
  readonly hashThread: HashThread;
  /** As other nodes know this one. */
  readonly nodeId: string;
  /** Stores in use, by name. */
  readonly backends: () => Promise<readonly (readonly [string, Backend])[]>;
  /** The rule in working order. Asked for when something is fetched or kept. */
  readonly build: (rule: RuleConfig) => Promise<BuiltRule>;
}

/** A rule that answers as a Go module proxy. */
export interface GoRule {
  readonly config: RuleConfig;
  readonly namespace: string;
  readonly protocol: GoProtocol;
}

/** The rule of that name, or the only one there is. Throws `invalid`, with the names, where that is none or not one. */
export function chooseGoRule({ rules }: Config, name: string | undefined): RuleConfig {
  const go = rules.filter(({ protocol }) => protocol === GO_PROTOCOL);
  const names = go.map((rule) => rule.name);
  const fail = (what: string): never => {
    throw new ProxyError('invalid', 'go-rules.choose', what);
  };
  if (name !== undefined) {
    const found = go.find((rule) => rule.name === name);
    if (found !== undefined) return found;
    const there = go.length === 0 ? 'there is none' : `there is ${listNames(names)}`;
    const known = rules.some((rule) => rule.name === name);
    const what = known ? 'serves no Go modules' : 'is not in the configuration';
    return fail(`rule ${JSON.stringify(name)} ${what}${didYouMean(name, names)}; ${there}`);
  }
  const [only, ...more] = go;
  if (only === undefined) return fail('the configuration has no rule with protocol: go');
  if (more.length === 0) return only;
  return fail(`several rules serve Go modules: name one with --rule (${listNames(names)})`);
}

/** Namespace of what the rule keeps. */
export function namespaceOf(rule: RuleConfig): string {
  return rule.namespace ?? GO_NAMESPACE;
}

/** The chosen rule in working order. Throws `invalid` for a name, `unavailable` where the rule is off. */
export async function openGoRule(parts: GoParts, name: string | undefined): Promise<GoRule> {
  const config = chooseGoRule(parts.config, name);
  const { rule, off } = await parts.build(config);
  if (rule === undefined || !(rule.protocol instanceof GoProtocol))
    throw new ProxyError(
      'unavailable',
      'go-rules.open',
      `rule ${config.name} is off: ${off ?? 'it is made by a plug-in'}`,
    );
  return { config, namespace: namespaceOf(config), protocol: rule.protocol };
}

/** Whether any store in use has a body. A store that cannot be asked has not. */
export async function isStoredIn(parts: GoParts, digest: string): Promise<boolean> {
  if (!isDigest(digest)) return false;
  for (const [, backend] of await parts.backends())
    if (await backend.stat(digest).catch(() => undefined)) return true;
  return false;
}

/** A request of this node's own for one file; `path` is an escaped GOPROXY path without a leading slash. */
export function requestFor(
  { config, nodeId }: Pick<GoParts, 'config' | 'nodeId'>,
  rule: RuleConfig,
  path: string,
  onlyIfCached: boolean,
): ProtocolRequest {
  const target = upstreamPath(path);
  const base = ruleBase(rule, config.listen.public);
  return {
    method: 'GET',
    target,
    publicUrl: base + target,
    host: new URL(base).host,
    headers: HeaderList.empty,
    forwarding: new HeaderList([
      ['Via', `1.1 ${nodeId}`],
      ['CDN-Loop', nodeId],
    ]),
    onlyIfCached,
    toKeep: true,
  };
}
