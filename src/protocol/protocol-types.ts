import { z } from 'zod';
import { type ComponentType, componentType, type ServiceKey } from '../component.ts';
import { FETCH_LIMIT } from '../fetchers/fetch-limit.ts';
import { readGoEnv } from '../fetchers/go-env.ts';
import { OriginFetcher } from '../fetchers/origin-fetcher.ts';
import { withLimit } from '../fetchers/with-limit.ts';
import { duration, httpUrl } from '../values.ts';
import { GoProtocol, type Sumdb } from './go-protocol.ts';
import { HttpProtocol } from './http-protocol.ts';
import type { Protocol } from './protocol.ts';
import type { Purger } from './purger.ts';
import { RULE_PARTS } from './rule.ts';

/** What makes stored answers go away. */
export const PURGER: ServiceKey<Purger> = { description: 'purger' };

/** A version just tagged is seen within this time. */
const INDEX_TTL = '1m';

/** `protocol: http`: a caching reverse proxy. */
export const httpProtocolType: ComponentType<unknown, Protocol> = componentType({
  kind: 'protocol',
  type: 'http',
  options: z.strictObject({}),
  create: (_options, context) =>
    new HttpProtocol(context.service(RULE_PARTS), context.service(PURGER), context.log),
});

/** `protocol: go`: a Go module proxy. */
export const goProtocolType: ComponentType<unknown, Protocol> = componentType({
  kind: 'protocol',
  type: 'go',
  options: z.strictObject({
    sumdb: z
      .array(
        z.strictObject({
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
        }),
      )
      .optional()
      .describe(
        'Checksum databases that are passed through. Absent: the one that `go env GOSUMDB` names.',
      ),
    listTtl: duration().prefault(INDEX_TTL).describe('How long lists and queries are fresh.'),
  }),
  async create({ sumdb, listTtl }, context) {
    const named = sumdb ?? (await ownSumdb());
    const limit = context.service(FETCH_LIMIT);
    const databases = named.map(({ name, url }): Sumdb => {
      if (!url) return { name };
      const { clock, metrics } = context;
      const origin = new OriginFetcher({
        name: `sumdb ${name}`,
        url,
        clock,
        metrics,
        env: process.env,
      });
      return { name, fetcher: withLimit(origin, limit), owned: origin };
    });
    return new GoProtocol(context.service(RULE_PARTS), { sumdb: databases, indexTtlMs: listTtl });
  },
});

/** The protocols that come with caje. */
export function createProtocolTypes(): ComponentType<unknown, Protocol>[] {
  return [httpProtocolType, goProtocolType];
}

// GOSUMDB is `off`, or a name or verifier key (`name+hash+key`) with perhaps a URL behind it (go help environment).
async function ownSumdb(): Promise<{ name: string; url?: URL | undefined }[]> {
  const [key = 'off', url] = ((await readGoEnv('GOSUMDB', process.env)) ?? 'off').split(/\s+/);
  const name = key.split('+')[0] ?? '';
  if (name === 'off' || name === '') return [];
  return [{ name, url: url !== undefined && URL.canParse(url) ? new URL(url) : undefined }];
}
