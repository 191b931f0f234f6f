import { z } from 'zod';
import {
  type ComponentContext,
  type ComponentType,
  componentType,
  type ServiceKey,
} from '../component.ts';
import { messageOf, ProxyError } from '../errors.ts';
import { FETCH_LIMIT } from '../fetchers/fetch-limit.ts';
import type { Fetcher } from '../fetchers/fetcher.ts';
import { readGoEnv } from '../fetchers/go-env.ts';
import { OriginFetcher } from '../fetchers/origin-fetcher.ts';
import { withLimit } from '../fetchers/with-limit.ts';
import type { HashThread } from '../gomod/hash-thread.ts';
import { parseModulePatterns, parseVersionRange } from '../gomod/module-pattern.ts';
import { parseVerifierKey, type VerifierKey } from '../gomod/signed-note.ts';
import { sumdbKey } from '../gomod/sumdb-keys.ts';
import { MANIFEST } from '../stashers/stasher-types.ts';
import { duration, httpUrl } from '../values.ts';
import { FILL_MODES, NETWORK_MODES } from './fill-modes.ts';
import { GoChecks, SUM_CHECKS } from './go-checks.ts';
import { GoPolicies, type GoPolicy } from './go-policy.ts';
import { GO_NAMESPACE, GoProtocol } from './go-protocol.ts';
import { openSumdb, type Sumdb } from './go-upstream.ts';
import { KeptModules } from './kept-modules.ts';
import type { Protocol } from './protocol.ts';
import { RULE_PARTS } from './rule.ts';

/** Where zips of modules are hashed. */
export const HASH_THREAD: ServiceKey<HashThread> = { description: 'hash thread' };

/** A version just tagged is seen within this time. */
const INDEX_TTL = '1m';

const modulePatterns = z
  .string()
  .min(1)
  .superRefine(readableBy(parseModulePatterns, 'patterns such as git.corp.example.com/*'))
  .describe('module patterns as GOPRIVATE has them');

const sumdbOptions = z.strictObject({
  name: z
    .string()
    .regex(
      /^[a-z0-9.-]+(?::\d+)?(?:\/[A-Za-z0-9._~/-]+)?$/,
      'expected a name such as sums.example.org',
    )
    .describe('Name of a checksum database, as GOSUMDB has it; may hold a path.'),
  url: httpUrl()
    .optional()
    .describe('Where it is asked. Absent: at the upstream, below /sumdb/<name>.'),
  key: z
    .string()
    .superRefine(readableBy(parseVerifierKey, 'a key name+hash+key as in GOSUMDB'))
    .optional()
    .describe('Verifier key. Absent: the one that the go command knows for the name, if any.'),
});

const policyOptions = z.strictObject({
  match: modulePatterns,
  versions: z
    .string()
    .superRefine(readableBy(parseVersionRange, 'a range such as >=v1.2.0'))
    .optional()
    .describe('A range such as ">=v1.2.0 <v2.0.0". Absent: all, lists and queries too.'),
  deny: z.string().min(1).optional().describe('Refused with 403 and this reason.'),
  fetch: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
    .transform((names) => [names].flat())
    .optional()
    .describe('Fetchers instead of those of the rule.'),
  mode: z.enum(FILL_MODES).optional(),
  network: z.enum(NETWORK_MODES).optional(),
  private: z
    .boolean()
    .default(false)
    .describe('Neither peers nor a checksum database learn of it.'),
});

const goOptions = z.strictObject({
  sumdb: z
    .array(sumdbOptions)
    .optional()
    .describe(
      'Checksum databases that are passed through. Absent: the one that `go env GOSUMDB` names.',
    ),
  noSumdb: modulePatterns
    .optional()
    .describe('Modules whose checksums are not looked up: such a lookup is answered 403.'),
  checkSums: z
    .enum(SUM_CHECKS)
    .default('off')
    .describe('Whether hashes are compared with the first checksum database.'),
  listTtl: duration().prefault(INDEX_TTL).describe('How long lists and queries are fresh.'),
  modules: z
    .array(policyOptions)
    .default([])
    .describe('What holds for some modules; the first that fits counts.'),
});

/** `protocol: go`: a Go module proxy. */
export const goProtocolType: ComponentType<unknown, Protocol> = componentType({
  kind: 'protocol',
  type: 'go',
  options: goOptions,
  references: ({ modules }) =>
    modules.flatMap(({ fetch = [] }) => fetch.map((name) => ({ kind: 'fetcher' as const, name }))),
  async create(options, context) {
    const parts = context.service(RULE_PARTS);
    const policies: GoPolicy[] = [];
    for (const policy of options.modules) policies.push(await createPolicy(policy, context));
    const { noSumdb, listTtl, checkSums } = options;
    const sumdbs = options.sumdb ?? (await ownSumdb());
    const keys = readKeys(sumdbs);
    const first = sumdbs[0];
    if (checkSums !== 'off' && (first === undefined || !keys.has(first.name)))
      throw new ProxyError(
        'invalid',
        'go-protocol.create',
        `rule ${parts.settings.name}: checkSums needs a checksum database with a known key: ${first === undefined ? 'none is passed through' : `give ${first.name} its key, name+hash+key`}`,
      );
    const hidden = new GoPolicies(
      policies,
      noSumdb === undefined ? undefined : parseModulePatterns(noSumdb),
    );
    return new GoProtocol(parts, {
      sumdb: sumdbs.map((sumdb) => ({
        ...createSumdb(sumdb, context),
        relayed: options.sumdb === undefined && sumdb.url === undefined,
      })),
      indexTtlMs: listTtl,
      policies: hidden,
      kept: new KeptModules(context.service(MANIFEST), parts.settings.namespace ?? GO_NAMESPACE),
      metrics: context.metrics,
      checks: (read) =>
        new GoChecks({
          thread: context.service(HASH_THREAD),
          sums: checkSums,
          database:
            checkSums === 'off' || first === undefined
              ? undefined
              : openSumdb(first, read(first.name)),
          keys,
          hidesSums: (module, version) => hidden.hidesSums(module, version),
          log: context.log,
          metrics: context.metrics,
        }),
    });
  },
});

async function createPolicy(
  policy: z.output<typeof policyOptions>,
  context: ComponentContext,
): Promise<GoPolicy> {
  const { match, versions, fetch, private: isPrivate, ...rest } = policy;
  const fetchers: Fetcher[] = [];
  for (const name of fetch ?? []) fetchers.push(await context.component<Fetcher>('fetcher', name));
  const parts = context.service(RULE_PARTS);
  const { settings } = parts;
  return {
    ...rest,
    match: parseModulePatterns(match),
    versions: versions === undefined ? undefined : parseVersionRange(versions),
    private: isPrivate,
    fetcher: parts.chain({
      fetchers: fetch === undefined ? undefined : fetchers,
      private: isPrivate || settings.private,
      mode: rest.mode ?? settings.mode,
      where: `rule ${settings.name}, modules ${JSON.stringify(match)}`,
    }),
  };
}

function createSumdb(
  { name, url, key }: z.output<typeof sumdbOptions>,
  context: ComponentContext,
): Sumdb {
  if (!url) return { name, key };
  const { clock, metrics } = context;
  const origin = new OriginFetcher({
    name: `sumdb ${name}`,
    url,
    clock,
    metrics,
    env: process.env,
  });
  return { name, key, fetcher: withLimit(origin, context.service(FETCH_LIMIT)), owned: origin };
}

/** Keys by name: what is given, or what the go command knows. */
function readKeys(
  sumdbs: readonly { readonly name: string; readonly key?: string | undefined }[],
): ReadonlyMap<string, VerifierKey> {
  const keys = new Map<string, VerifierKey>();
  for (const { name, key } of sumdbs) {
    try {
      keys.set(name, sumdbKey(key ?? name));
    } catch {
      // A database whose key nobody gave is passed through as it is.
    }
  }
  return keys;
}

// GOSUMDB is `off`, or a name or verifier key (`name+hash+key`) with perhaps a URL behind it (go help environment).
async function ownSumdb(): Promise<z.output<typeof sumdbOptions>[]> {
  const [key = 'off', url] = ((await readGoEnv('GOSUMDB', process.env)) ?? 'off').split(/\s+/);
  const name = key.split('+')[0] ?? '';
  if (name === 'off' || name === '') return [];
  const own = key.includes('+') ? key : undefined;
  return [
    { name, key: own, url: url !== undefined && URL.canParse(url) ? new URL(url) : undefined },
  ];
}

function readableBy(read: (text: string) => unknown, expected: string) {
  return (text: string, context: z.RefinementCtx): void => {
    try {
      read(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: `expected ${expected}: ${messageOf(error)}` });
    }
  };
}
