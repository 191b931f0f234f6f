import { request } from 'undici';
import { SystemClock } from '../../src/clock.ts';
import { PEER_RESOURCE_PATH } from '../../src/fetchers/peer-protocol.ts';
import { createPeerApi } from '../../src/http/peer-api.ts';
import type { OpenBlob } from '../../src/http/peer-blob.ts';
import { peerToken } from '../../src/http/peer-tokens.ts';
import { trustCheck } from '../../src/http/public-address.ts';
import { ownRoutes } from '../../src/http/routes.ts';
import { type Rule, RuleRouter } from '../../src/http/rule-router.ts';
import { createServer } from '../../src/http/server.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import type { Protocol } from '../../src/protocol/protocol.ts';
import { EDGE_NODE, protocolOf, rule } from './edge.ts';

/** Secret of the peer that `startPeer` knows as n2. */
export const PEER_TOKEN = 'n2-token-0123456789';

/** A listening peer API over loopback. */
export interface Peer extends AsyncDisposable {
  readonly url: string;
  readonly metrics: Metrics;
  /** Asks for a public URL with the token of a known peer. */
  ask(target: string, headers?: Record<string, string>): ReturnType<typeof request>;
}

/** Starts the real server and peer application in front of one rule for www.example.com. */
export async function startPeer(
  handle: Protocol['handle'],
  more: Partial<Rule> = {},
  openBlob?: OpenBlob,
): Promise<Peer> {
  const metrics = new Metrics();
  const clock = new SystemClock();
  const log = silentLogger;
  const handler = createPeerApi({
    router: new RuleRouter([rule(protocolOf(handle), { host: 'www.example.com', ...more })]),
    routes: ownRoutes({ version: '1.2.3', health: [], draining: () => false }),
    trusts: trustCheck([]),
    tokens: () => [peerToken('n1', 'n1-token-0123456789'), peerToken('n2', PEER_TOKEN)],
    version: '1.2.3',
    draining: () => false,
    openBlob,
    nodeId: EDGE_NODE,
    log,
    metrics,
    clock,
  });
  const server = createServer({ handler, log, metrics, clock });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    metrics,
    ask: (target, headers = {}) =>
      request(`${url}${PEER_RESOURCE_PATH}`, {
        headers: {
          authorization: `Bearer ${PEER_TOKEN}`,
          'caje-target': target,
          'cache-control': 'only-if-cached',
          ...headers,
        },
      }),
    [Symbol.asyncDispose]: async () => void (await Promise.all([server.close(), server.close()])),
  };
}
