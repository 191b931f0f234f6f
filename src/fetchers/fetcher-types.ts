import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { type ComponentContext, type ComponentType, componentType } from '../component.ts';
import { messageOf } from '../errors.ts';
import { duration, httpUrl, readSecret, secret } from '../values.ts';
import { FETCH_LIMIT, FetchLimit } from './fetch-limit.ts';
import type { Fetcher } from './fetcher.ts';
import {
  type HttpFetcherOptions,
  httpOptions,
  limitsOf,
  readCa,
  readPem,
  timeoutFields,
} from './fetcher-options.ts';
import { FileFetcher } from './file-fetcher.ts';
import { goVcsType } from './go-vcs-type.ts';
import { type GoproxyEntry, parseGoproxyList } from './goproxy-list.ts';
import type { HttpClientOptions } from './http-client.ts';
import { type OriginAuth, OriginFetcher } from './origin-fetcher.ts';
import { PeerFetcher } from './peer-fetcher.ts';
import { resolveGoproxyList, UpstreamsFetcher } from './upstreams-fetcher.ts';
import { withLimit } from './with-limit.ts';
import { RetryBudget, withRetry } from './with-retry.ts';

const originOptions = httpOptions.extend({
  url: httpUrl().describe('address of the origin; a path goes before that of each request'),
  auth: z
    .union([
      z.strictObject({ bearer: secret() }),
      z.strictObject({ basic: z.strictObject({ user: z.string().min(1), password: secret() }) }),
    ])
    .optional()
    .describe('credentials sent to this origin alone'),
});

const upstreamsOptions = httpOptions.extend({
  list: z
    .string()
    .min(1)
    .superRefine((list, context) => {
      try {
        if (list !== 'go-env') parseGoproxyList(list);
      } catch (error) {
        context.addIssue({ code: 'custom', message: messageOf(error) });
      }
    })
    .describe('a GOPROXY list, or go-env for that of the go command on this machine'),
  direct: z
    .string()
    .min(1)
    .optional()
    .describe('name of the fetcher that takes the place of "direct"; absent: it is left out'),
});

const fileOptions = z.strictObject({
  path: z.string().min(1).describe('the folder that answers /; also one in GOPROXY layout'),
  concurrent: z.int().min(1).optional().describe('files read at once; absent: no limit of its own'),
});

const peerOptions = httpOptions
  .extend({
    url: httpUrl().describe('address of the other node’s peer listener'),
    token: secret().describe('one of the tokens that the other node accepts'),
    cert: z
      .string()
      .min(1)
      .optional()
      .describe('PEM file of the certificate shown to the other node'),
    key: z.string().min(1).optional().describe('PEM file of its private key'),
    timeouts: z
      .strictObject({
        ...timeoutFields,
        lookup: duration().optional().describe('for a look into its store alone; 450ms'),
      })
      .optional(),
    fill: z
      .boolean()
      .optional()
      .describe('whether it fetches what it lacks; absent: only as the last of its chain'),
  })
  .refine(({ cert, key }) => (cert === undefined) === (key === undefined), {
    error: 'expected cert and key, or neither',
    path: ['key'],
  });

/** `type: origin`: an HTTP origin. */
export const originType: ComponentType<unknown, Fetcher & AsyncDisposable> = componentType({
  kind: 'fetcher',
  type: 'origin',
  options: originOptions,
  create: async (options, context) => {
    const origin = new OriginFetcher({
      ...(await clientOptions(options, context)),
      url: options.url,
      auth: await authOf(options.auth, context.baseDir),
    });
    return owning(wrapper(options.concurrent ?? options.maxSockets, context)(origin), origin);
  },
});

/** `type: upstreams`: the places of a GOPROXY list, origins or folders. */
export const upstreamsType: ComponentType<unknown, UpstreamsFetcher> = componentType({
  kind: 'fetcher',
  type: 'upstreams',
  options: upstreamsOptions,
  references: ({ direct }) => (direct === undefined ? [] : [{ kind: 'fetcher', name: direct }]),
  create: async (options, context) => {
    const direct =
      options.direct === undefined
        ? undefined
        : await context.component<Fetcher>('fetcher', options.direct);
    const has = { direct: direct !== undefined };
    const { list, origin } = await resolveGoproxyList(options.list, process.env, has);
    const client = await clientOptions(options, context);
    const open = (entry: GoproxyEntry): Fetcher => {
      const wrap = wrapper(options.concurrent ?? options.maxSockets, context);
      if (entry.url.protocol === 'file:') {
        const path = fileURLToPath(entry.url);
        return wrap(new FileFetcher({ name: context.name, path, metrics: context.metrics }));
      }
      const fetcher = new OriginFetcher({ ...client, url: entry.url, auth: userinfoOf(entry.url) });
      return owning(wrap(fetcher), fetcher);
    };
    return new UpstreamsFetcher({ name: context.name, list, origin, open, direct });
  },
});

/** `type: file`: a folder. */
export const fileType: ComponentType<unknown, Fetcher> = componentType({
  kind: 'fetcher',
  type: 'file',
  options: fileOptions,
  create: (options, context): Fetcher => {
    const { name, metrics, baseDir } = context;
    const path = resolve(baseDir, options.path);
    return wrapper(options.concurrent, context)(new FileFetcher({ name, path, metrics }));
  },
});

/** `type: peer`: another caje node. */
export const peerType: ComponentType<unknown, PeerFetcher> = componentType({
  kind: 'fetcher',
  type: 'peer',
  options: peerOptions,
  create: async (options, context) =>
    new PeerFetcher({
      ...(await clientOptions(options, context)),
      url: options.url,
      token: await readSecret(options.token, context.baseDir),
      identity: await readIdentity(options, context.baseDir),
      fill: options.fill,
      lookupMs: options.timeouts?.lookup,
      log: context.log,
      wrap: wrapper(options.concurrent ?? options.maxSockets, context),
    }),
});

/** Every fetcher type that is built in. Each needs the service `FETCH_LIMIT`. */
export function createFetcherTypes(): readonly ComponentType<unknown, Fetcher>[] {
  return [originType, upstreamsType, fileType, peerType, goVcsType];
}

async function clientOptions(
  options: HttpFetcherOptions,
  { name, clock, metrics, baseDir }: ComponentContext,
): Promise<Omit<HttpClientOptions, 'url'>> {
  return {
    name,
    clock,
    metrics,
    maxSockets: options.maxSockets,
    limits: limitsOf(options),
    ca: await readCa(options.ca, baseDir),
    env: process.env,
  };
}

async function readIdentity(
  { cert, key }: { readonly cert?: string | undefined; readonly key?: string | undefined },
  baseDir: string,
): Promise<{ cert: string; key: string } | undefined> {
  if (cert === undefined || key === undefined) return undefined;
  return {
    cert: await readPem('cert', cert, baseDir),
    key: await readPem('key', key, baseDir),
  };
}

/** The wrappers in the order that `withLimit` explains. `concurrent` absent: no limit but the shared one. */
function wrapper(
  concurrent: number | undefined,
  context: ComponentContext,
): (fetcher: Fetcher) => Fetcher {
  const { clock, metrics } = context;
  const shared = context.service(FETCH_LIMIT);
  const budget = new RetryBudget(clock);
  const own = concurrent === undefined ? undefined : new FetchLimit({ concurrent, clock, metrics });
  return (fetcher) => {
    const limited = withLimit(withRetry(fetcher, { budget, metrics }), shared);
    return own === undefined ? limited : withLimit(limited, own);
  };
}

function owning(fetcher: Fetcher, owned: AsyncDisposable): Fetcher & AsyncDisposable {
  return { ...fetcher, [Symbol.asyncDispose]: async () => await owned[Symbol.asyncDispose]() };
}

async function authOf(
  auth: z.output<typeof originOptions>['auth'],
  baseDir: string,
): Promise<OriginAuth | undefined> {
  if (auth === undefined) return undefined;
  if ('bearer' in auth) return { bearer: await readSecret(auth.bearer, baseDir) };
  const password = await readSecret(auth.basic.password, baseDir);
  return { basic: { user: auth.basic.user, password } };
}

function userinfoOf({ username, password }: URL): OriginAuth | undefined {
  if (username === '' && password === '') return undefined;
  return {
    basic: { user: decodeURIComponent(username), password: decodeURIComponent(password) },
  };
}
