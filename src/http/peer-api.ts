import type { IncomingMessage, ServerResponse } from 'node:http';
import Router from '@koa/router';
import type { Middleware } from 'koa';
import { kindOf, ProxyError } from '../errors.ts';
import {
  PEER_BLOB_PATH,
  PEER_FIELDS,
  PEER_NODE_PATH,
  PEER_PROTOCOL,
  PEER_RESOURCE_PATH,
  PEER_STATUS_PATH,
  type PeerNode,
} from '../fetchers/peer-protocol.ts';
import { HeaderList } from '../headers.ts';
import type { PrimaryService } from '../manifest/primary-service.ts';
import type { CachePhase, ProtocolRequest, ProtocolResponse } from '../protocol/protocol.ts';
import type { AppBase, Handler } from './app.ts';
import { createHandler } from './app.ts';
import { clientGone } from './client-gone.ts';
import { exchangeOf } from './exchange.ts';
import { answerBlob, type OpenBlob } from './peer-blob.ts';
import { addManifestRoutes } from './peer-manifest-api.ts';
import type { PeerToken } from './peer-tokens.ts';
import { peerOf } from './peer-tokens.ts';
import { problemOf, sendProblem } from './problem.ts';
import type { PublicAddress } from './public-address.ts';
import { normalHost } from './public-address.ts';
import type { RuleMatch, RuleRouter, RuleSource } from './rule-router.ts';
import type { SendContext } from './send-response.ts';
import { sendToPeer } from './send-to-peer.ts';
import { plainAddress, toProtocolRequest } from './to-protocol-request.ts';

/** What the application of the peer listener is made of. */
export interface PeerApiOptions extends AppBase {
  readonly router: RuleSource;
  /** From `ownRoutes`; needs no token. */
  readonly routes: Middleware;
  /** Whoever shows one of them, as they are at that moment, is a peer. */
  tokens(): readonly PeerToken[];
  readonly nodeId: string;
  /** Version of caje. */
  readonly version: string;
  /** True: the node is stopping. */
  draining(): boolean;
  /** Bodies by digest. Absent: none is given so. */
  readonly openBlob?: OpenBlob | undefined;
  /** What other nodes ask of this one's manifest. Absent: they cannot. */
  readonly peers?: PrimaryService | undefined;
  /** How this node stands, as JSON. Absent: it does not say. */
  readonly status?: (() => Promise<unknown>) | undefined;
  readonly clock: SendContext['clock'];
}

/** Methods a peer may ask for, since nothing else is kept. */
const METHODS = new Set(['GET', 'HEAD']);
/** Addresses remembered that were told of as refused. */
const MAX_TOLD = 1000;
const TARGET = /^(https?):\/\/([^/?#@\s]+)((?:[/?][^#\s]*)?)$/i;
/** Failures that are no miss even when only what is kept was asked for. */
const NOT_A_MISS = new Set(['loop', 'invalid', 'aborted', 'internal']);
/** Ways an answer came about that show it was kept here. */
const KEPT: ReadonlySet<CachePhase> = new Set(['hit', 'stale']);

/** The application of the peer listener: own routes, then a token for everything else, then what peers ask for. */
export function createPeerApi(options: PeerApiOptions): Handler {
  const router = new Router();
  router.get(PEER_NODE_PATH, answerNode(options));
  router.get(PEER_RESOURCE_PATH, answerPeer(options));
  const { status } = options;
  if (status)
    router.get(PEER_STATUS_PATH, async (ctx) => {
      ctx.body = await status();
    });
  if (options.openBlob)
    router.get(`${PEER_BLOB_PATH}/:digest`, answerBlob({ ...options, openBlob: options.openBlob }));
  if (options.peers) addManifestRoutes(router, { ...options, peers: options.peers });
  const answers = router.routes() as unknown as Middleware;
  return createHandler(options, [options.routes, requireToken(options), answers, notFound]);
}

function answerNode({ nodeId, version, draining }: PeerApiOptions): Middleware {
  return (ctx) => {
    const node: PeerNode = { nodeId, version, protocol: PEER_PROTOCOL, draining: draining() };
    ctx.body = node;
  };
}

function requireToken({ tokens, metrics, log }: PeerApiOptions): Middleware {
  const told = new Set<string>();
  return async (ctx, next) => {
    const peer = peerOf(ctx.req.headers.authorization, tokens());
    if (peer === undefined) {
      metrics.count('peer_refused_total');
      const remote = plainAddress(ctx.req.socket.remoteAddress) ?? '';
      // A node that asks with a wrong token asks often: it is told of once.
      if (!told.has(remote))
        log.warn({ remote }, 'a peer was refused: it shows no token that is known');
      if (told.size < MAX_TOLD) told.add(remote);
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
    const rules = options.router.current;
    using _ = rules.leases.take();
    const match = findRule(rules, asked.address);
    const exchange = exchangeOf(res);
    exchange.rule = match?.rule.name;
    if (match === undefined || isPrivate(match)) {
      exchange.bytes = sendMiss(res);
      return;
    }
    const request = { ...asked.request, target: match.target };
    const signal = clientGone(res);
    const peer = { asOwner: asked.asOwner, begun: signOfLife(res) };
    // Modes that send clients away do not count for a node that was chosen to fetch.
    const response = await handle(match, { ...request, peer, toKeep: asked.asOwner }, signal);
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

// Once, and only before the head: it says that the answer is here or on its way, long before its own head may be.
function signOfLife(res: ServerResponse): () => void {
  let given = res.req.httpVersionMinor === 0;
  return () => {
    if (given || res.headersSent || res.destroyed) return;
    given = true;
    res.writeProcessing();
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
    const { phase, collapsed } = response.report;
    if (!request.onlyIfCached || KEPT.has(phase) || collapsed === true) return response;
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
  /** True: this node is held to be the owner of the key. */
  readonly asOwner: boolean;
}

function readPeerRequest(req: IncomingMessage, nodeId: string): PeerRequest {
  const sent = HeaderList.fromRaw(req.rawHeaders);
  // HEAD of the hop itself is a look-up: whether it is here or on its way, and nothing is fetched for it.
  const looksUp = req.method === 'HEAD';
  const method = looksUp ? 'HEAD' : (sent.get(PEER_FIELDS.method) ?? 'GET');
  const fills = !looksUp && sent.get(PEER_FIELDS.fill) === '1';
  if (!METHODS.has(method))
    throw new ProxyError('invalid', 'peer-api.read', 'Caje-Method must be GET or HEAD');
  const [, scheme, authority, rest] = TARGET.exec(sent.get(PEER_FIELDS.target) ?? '') ?? [];
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
    asOwner: fills && sent.get(PEER_FIELDS.owner) === '1',
    request: {
      ...base,
      method,
      headers: withoutPeerFields(base.headers),
      onlyIfCached: !fills,
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
