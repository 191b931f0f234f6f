import type { IncomingMessage, ServerResponse } from 'node:http';
import Router from '@koa/router';
import type { Middleware } from 'koa';
import { kindOf, ProxyError } from '../errors.ts';
import { HeaderList } from '../headers.ts';
import type { Metrics } from '../metrics.ts';
import type { CachePhase, ProtocolRequest, ProtocolResponse } from '../protocol/protocol.ts';
import type { AppBase, Handler } from './app.ts';
import { createHandler } from './app.ts';
import { clientGone } from './client-gone.ts';
import { exchangeOf } from './exchange.ts';
import type { PeerToken } from './peer-tokens.ts';
import { peerOf } from './peer-tokens.ts';
import { problemOf, sendProblem } from './problem.ts';
import type { PublicAddress } from './public-address.ts';
import { normalHost } from './public-address.ts';
import { OWN_PREFIX } from './routes.ts';
import type { RuleMatch, RuleRouter } from './rule-router.ts';
import type { SendContext } from './send-response.ts';
import { sendToPeer } from './send-to-peer.ts';
import { toProtocolRequest } from './to-protocol-request.ts';

/** Path of the one resource that peers ask for. */
export const PEER_RESOURCE: string = `${OWN_PREFIX}/peer/v1/resource`;

/** What the application of the peer listener is made of. */
export interface PeerApiOptions extends AppBase {
  readonly router: RuleRouter;
  /** From `ownRoutes`; needs no token. */
  readonly routes: Middleware;
  readonly tokens: readonly PeerToken[];
  readonly nodeId: string;
  readonly clock: SendContext['clock'];
}

/** Methods a peer may ask for, since nothing else is kept. */
const METHODS = new Set(['GET', 'HEAD']);
const TARGET = /^(https?):\/\/([^/?#@\s]+)((?:[/?][^#\s]*)?)$/i;
/** Failures that are no miss even when only what is kept was asked for. */
const NOT_A_MISS = new Set(['loop', 'invalid', 'aborted', 'internal']);
/** Ways an answer came about that show it was kept here. */
const KEPT: ReadonlySet<CachePhase> = new Set(['hit', 'stale']);

/** The application of the peer listener: own routes, then a token for everything else, then the resource. */
export function createPeerApi(options: PeerApiOptions): Handler {
  const router = new Router();
  router.get(PEER_RESOURCE, answerPeer(options));
  const resource = router.routes() as unknown as Middleware;
  return createHandler(options, [
    options.routes,
    requireToken(options.tokens, options.metrics),
    resource,
    notFound,
  ]);
}

function requireToken(tokens: readonly PeerToken[], metrics: Metrics): Middleware {
  return async (ctx, next) => {
    const peer = peerOf(ctx.req.headers.authorization, tokens);
    if (peer === undefined) {
      metrics.count('peer_refused_total');
      throw new ProxyError('unauthorized', 'peer-api.token', 'a peer token is needed here');
    }
    exchangeOf(ctx.res).peer = peer;
    await next();
  };
}

const notFound: Middleware = () => {
  throw new ProxyError('not-found', 'peer-api', 'this listener has no such route');
};

function answerPeer(options: PeerApiOptions): Middleware {
  return async (ctx) => {
    const { req, res } = ctx;
    ctx.respond = false;
    const asked = readPeerRequest(req, options.nodeId);
    const match = findRule(options.router, asked.address);
    const exchange = exchangeOf(res);
    exchange.rule = match?.rule.name;
    if (match === undefined || isPrivate(match)) {
      exchange.bytes = sendMiss(res);
      return;
    }
    const request = { ...asked.request, target: match.target };
    const signal = clientGone(res);
    const response = await handle(match, request, signal);
    if (response === undefined) {
      exchange.phase = 'miss';
      exchange.bytes = sendMiss(res);
      return;
    }
    exchange.phase = response.report.phase;
    options.metrics.count('requests_total', response.report.phase);
    exchange.bytes = await sendToPeer(response, res, {
      request,
      nodeId: options.nodeId,
      clock: options.clock,
      signal,
    });
  };
}

function isPrivate({ rule, target }: RuleMatch): boolean {
  return rule.private === true || rule.protocol.isPrivate?.(target) === true;
}

/** Absent: only what is kept was wanted, and nothing is. */
async function handle(
  match: RuleMatch,
  request: ProtocolRequest,
  signal: AbortSignal,
): Promise<ProtocolResponse | undefined> {
  try {
    const response = await match.rule.protocol.handle(request, { signal });
    if (!request.onlyIfCached || KEPT.has(response.report.phase)) return response;
    response.content?.close();
    return undefined;
  } catch (error) {
    if (!request.onlyIfCached || NOT_A_MISS.has(kindOf(error))) throw error;
    return undefined;
  }
}

function findRule(router: RuleRouter, address: PublicAddress): RuleMatch | undefined {
  try {
    return router.match(address.host, address.target);
  } catch {
    return undefined;
  }
}

interface PeerRequest {
  readonly address: PublicAddress;
  readonly request: ProtocolRequest;
}

function readPeerRequest(req: IncomingMessage, nodeId: string): PeerRequest {
  const sent = HeaderList.fromRaw(req.rawHeaders);
  const method = sent.get('Caje-Method') ?? 'GET';
  if (!METHODS.has(method))
    throw new ProxyError('invalid', 'peer-api.read', 'Caje-Method must be GET or HEAD');
  const [, scheme, authority, rest] = TARGET.exec(sent.get('Caje-Target') ?? '') ?? [];
  if (scheme === undefined || authority === undefined || rest === undefined)
    throw new ProxyError(
      'invalid',
      'peer-api.read',
      'Caje-Target must be one absolute http or https URL',
    );
  const address = addressOf(scheme.toLowerCase() === 'https' ? 'https' : 'http', authority, rest);
  // The sender showed a token, so what it says of its own client is believed.
  const base = toProtocolRequest(req, { address, target: address.target, trusted: true, nodeId });
  return {
    address,
    request: {
      ...base,
      method,
      headers: withoutPeerFields(base.headers),
      onlyIfCached: sent.get('Caje-Fill') !== '1',
    },
  };
}

function addressOf(
  scheme: PublicAddress['scheme'],
  authority: string,
  rest: string,
): PublicAddress {
  const host = normalHost(authority, scheme);
  const target = rest.startsWith('/') ? rest : `/${rest}`;
  return { scheme, host, target, url: `${scheme}://${host}${target}` };
}

/** The fields of the client behind the peer: the peer's own credential and orders are gone. */
function withoutPeerFields(headers: HeaderList): HeaderList {
  const lines = headers.lines.flatMap(([name, value]): readonly (readonly [string, string])[] => {
    const lower = name.toLowerCase();
    if (lower === 'authorization' || lower.startsWith('caje-')) return [];
    if (lower !== 'cache-control') return [[name, value]];
    const rest = value
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part.toLowerCase() !== 'only-if-cached');
    return rest.length === 0 ? [] : [[name, rest.join(', ')]];
  });
  return new HeaderList(lines);
}

function sendMiss(res: ServerResponse): number {
  const error = new ProxyError('timeout', 'peer-api.miss', 'not kept here');
  return sendProblem(res, problemOf(error), exchangeOf(res).requestId ?? '', 'json', [
    ['Caje-Miss', '1'],
  ]);
}
