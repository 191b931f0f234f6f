import { ProxyError } from '../errors.ts';
import { Leases } from '../leases.ts';
import type { Protocol } from '../protocol/protocol.ts';
import type { ErrorFormat } from './problem.ts';

/** One line of the configuration as the edge sees it: which requests, and who answers them. */
export interface Rule {
  readonly name: string;
  /** `www.example.com`, `*.example.com` (its subdomains), with a port only that port. Absent: any host. */
  readonly host?: string | undefined;
  /** `/exact`, or `/prefix/*`. Absent: any path. */
  readonly path?: string | undefined;
  /** True: a prefix is removed before the protocol sees the path; its last `/` stays. */
  readonly strip?: boolean | undefined;
  readonly protocol: Protocol;
  /** Absent: `json`. */
  readonly errorFormat?: ErrorFormat | undefined;
  /** True: peers get nothing of it. */
  readonly private?: boolean | undefined;
}

/** The rule that answers a request, and the target as its protocol sees it. */
export interface RuleMatch {
  readonly rule: Rule;
  readonly target: string;
}

interface Matcher {
  readonly rule: Rule;
  readonly matchesHost: (host: string, name: string) => boolean;
  readonly exact: string | undefined;
  /** With its last slash; '' is any path. */
  readonly prefix: string;
}

/** The rules in force, which may be others the next time one asks. */
export interface RuleSource {
  readonly current: RuleRouter;
}

/** Finds the rule of a request: the first that fits. Paths are compared byte by byte, nothing is decoded or tidied. */
export class RuleRouter implements RuleSource {
  /** Whoever goes by these rules holds one, so that nothing of theirs is closed meanwhile. */
  readonly leases: Leases;
  readonly #matchers: readonly Matcher[];

  constructor(rules: readonly Rule[], leases: Leases = new Leases()) {
    this.#matchers = rules.map(toMatcher);
    this.leases = leases;
  }

  /** Itself: by itself it is never exchanged. */
  get current(): RuleRouter {
    return this;
  }

  /** `host` in lower case, with its port unless default. Throws `misdirected` for a host of no rule, `not-found` for a path of none. */
  match(host: string, target: string): RuleMatch {
    const name = host.replace(/:\d+$/, '');
    const query = target.indexOf('?');
    const path = query < 0 ? target : target.slice(0, query);
    let known = false;
    for (const { rule, matchesHost, exact, prefix } of this.#matchers) {
      if (!matchesHost(host, name)) continue;
      known = true;
      if (exact !== undefined ? path !== exact : !path.startsWith(prefix)) continue;
      if (rule.strip !== true || exact !== undefined || prefix === '') return { rule, target };
      return { rule, target: target.slice(prefix.length - 1) };
    }
    if (known)
      throw new ProxyError(
        'not-found',
        'rule-router.match',
        'no rule of this host serves this path',
      );
    throw new ProxyError('misdirected', 'rule-router.match', 'no rule serves this host');
  }
}

function toMatcher(rule: Rule): Matcher {
  const path = rule.path ?? '/*';
  const isPrefix = path.endsWith('/*');
  if (!path.startsWith('/') || (!isPrefix && path.includes('*')))
    throw new ProxyError(
      'invalid',
      'rule-router',
      `rule ${rule.name}: path must be /exact or /prefix/*, not ${path}`,
    );
  return {
    rule,
    matchesHost: hostMatcher(rule),
    exact: isPrefix ? undefined : path,
    prefix: isPrefix ? path.slice(0, -1) : '',
  };
}

function hostMatcher(rule: Rule): Matcher['matchesHost'] {
  const wanted = rule.host?.toLowerCase();
  if (wanted === undefined) return () => true;
  const suffix = wanted.startsWith('*.') ? wanted.slice(1) : undefined;
  if ((suffix ?? wanted).includes('*'))
    throw new ProxyError(
      'invalid',
      'rule-router',
      `rule ${rule.name}: host must be a name or *.suffix, not ${wanted}`,
    );
  const withPort = /[^:]:\d+$/.test(wanted) || /\]:\d+$/.test(wanted);
  return (host, name) => {
    const asked = withPort ? host : name;
    return suffix === undefined
      ? asked === wanted
      : asked.endsWith(suffix) && asked.length > suffix.length;
  };
}
