import type { IncomingMessage } from 'node:http';
import type Router from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import type { CallOptions } from '../body.ts';
import { messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { MANIFEST_API, MAX_BATCH_BYTES, MAX_WAIT_MS } from '../manifest/primary-protocol.ts';
import {
  batchRequest,
  changesRequest,
  purgeShipped,
  snapshotRequest,
  stateRequest,
} from '../manifest/primary-schemas.ts';
import type { PrimaryService } from '../manifest/primary-service.ts';
import type { Metrics } from '../metrics.ts';
import { parseDuration } from '../values.ts';
import { clientGone } from './client-gone.ts';
import { requestBody } from './request-body.ts';
import { plainAddress } from './to-protocol-request.ts';

/** What the manifest side of the peer API is made of. */
export interface PeerManifestOptions {
  readonly peers: PrimaryService;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** One question: what it takes, and who answers it. `host`: where the asker is. */
interface Question<Input> {
  readonly input: z.ZodType<Input>;
  answer(input: Input, host: string, options: CallOptions): Promise<unknown>;
}

/** Longest that a lease is waited for (DESIGN: 10 s). */
const MAX_LEASE_WAIT_MS = 10_000;
const DEFAULT_LIMIT = 1000;
const id = z.string().min(1).max(200);

/** Adds the routes that other nodes ask for the manifest; whoever gets here has shown a token. */
export function addManifestRoutes(router: Router, options: PeerManifestOptions): void {
  const { peers } = options;
  router.get(`${MANIFEST_API}/journal`, async (ctx) => {
    ctx.body = await understood(options, ctx, 'journal', async () => {
      const query = journalQuery(ctx);
      return await peers.journal(query, { signal: clientGone(ctx.res) });
    });
  });
  const post = <Input>(name: string, question: Question<Input>): void => {
    router.post(`${MANIFEST_API}/${name}`, async (ctx) => {
      const host = plainAddress(ctx.req.socket.remoteAddress) ?? '';
      // Before the body: once that is read, nobody else notices that the asker has gone.
      const signal = clientGone(ctx.res);
      ctx.body = await understood(options, ctx, name, async () => {
        const input = read(question.input, await readJson(ctx.req));
        return (await question.answer(input, host, { signal })) ?? {};
      });
    });
  };
  post('state', {
    input: stateRequest,
    answer: async (input, host) => await peers.state(input, host),
  });
  post('changes', {
    input: changesRequest,
    answer: async (input, host, call) => await peers.changes(input, host, call),
  });
  post('snapshot', {
    input: snapshotRequest,
    answer: async (input) => await peers.snapshot(input),
  });
  post('batch', { input: batchRequest, answer: async (input) => await peers.batch(input) });
  post('purge', { input: purgeShipped, answer: async (input) => await peers.purge(input) });
  post('hint', { input: z.object({ node: id }), answer: async () => await peers.hint() });
  post('lease', {
    input: z.object({ node: id, waitMs: z.int().min(0).max(MAX_LEASE_WAIT_MS) }),
    answer: async (input, _, call) => {
      const lease = await peers.lease(input.node, input.waitMs);
      // Nobody is there any more to give it back.
      if (call.signal?.aborted) await peers.release(lease.id);
      return lease;
    },
  });
  post('lease/renew', {
    input: z.object({ id }),
    answer: async (input) => await peers.renew(input.id),
  });
  post('lease/release', {
    input: z.object({ id }),
    answer: async (input) => await peers.release(input.id),
  });
}

/** What nobody can make sense of is counted and told of. */
async function understood(
  { log, metrics }: PeerManifestOptions,
  ctx: Context,
  route: string,
  answer: () => Promise<unknown>,
): Promise<unknown> {
  try {
    return await answer();
  } catch (error) {
    const isUnreadable =
      error instanceof ProxyError && (error.kind === 'invalid' || error.kind === 'too-large');
    if (isUnreadable) {
      metrics.count('peer_unreadable_total', route);
      const remote = plainAddress(ctx.req.socket.remoteAddress) ?? '';
      log.warn({ remote, route, err: messageOf(error) }, 'a peer asks what cannot be understood');
    }
    throw error;
  }
}

function journalQuery(ctx: Context): Parameters<PrimaryService['journal']>[0] {
  const one = (name: string): string | undefined => {
    const value = ctx.query[name];
    if (Array.isArray(value)) throw unreadable(`${name} is there twice`);
    return value;
  };
  const limit = Number(one('limit') ?? DEFAULT_LIMIT);
  if (!Number.isInteger(limit) || limit < 1 || limit > DEFAULT_LIMIT)
    throw unreadable(`limit must be a whole number from 1 to ${DEFAULT_LIMIT}`);
  const waitMs = parseDuration(one('wait') ?? '0');
  if (waitMs === undefined || waitMs > MAX_WAIT_MS)
    throw unreadable(`wait must be a duration up to ${MAX_WAIT_MS / 1000}s, such as 25s`);
  const namespace = one('namespace') ?? 'web';
  return { namespace, since: one('since') ?? '', limit, all: one('all') === '1', waitMs };
}

function read<Input>(schema: z.ZodType<Input>, value: unknown): Input {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw unreadable(
    `${issue?.path.join('.') || 'the body'}: ${issue?.message ?? 'not as expected'}`,
  );
}

async function readJson(req: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // What is refused half-way is read to its end, so that the asker hears why.
  for await (const chunk of requestBody(req) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BATCH_BYTES)
      throw new ProxyError(
        'too-large',
        'peer-manifest-api.read',
        `the body has more than ${MAX_BATCH_BYTES} bytes`,
      );
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString()) as unknown;
  } catch {
    throw unreadable('the body is no JSON');
  }
}

function unreadable(message: string): ProxyError {
  return new ProxyError('invalid', 'peer-manifest-api.read', message);
}
