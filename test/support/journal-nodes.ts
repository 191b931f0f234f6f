import { join } from 'node:path';
import { SystemClock } from '../../src/clock.ts';
import { createPeerApi } from '../../src/http/peer-api.ts';
import { peerToken } from '../../src/http/peer-tokens.ts';
import { trustCheck } from '../../src/http/public-address.ts';
import { ownRoutes } from '../../src/http/routes.ts';
import { RuleRouter } from '../../src/http/rule-router.ts';
import { createServer, type ServerTls } from '../../src/http/server.ts';
import { type OpenManifestOptions, openManifest } from '../../src/manifest/open-manifest.ts';
import { type PeerIdentity, PrimaryClient } from '../../src/manifest/primary-client.ts';
import type { SqliteManifest } from '../../src/manifest/sqlite-manifest.ts';
import type { ClusterSettings } from '../../src/manifest/writer-protocol.ts';
import { Metrics } from '../../src/metrics.ts';
import { RecordedLog } from './recorded-log.ts';

/** What the nodes of a test show each other. */
export const CLUSTER_TOKEN = 'a-token-of-the-test-cluster';

/** A manifest with a peer listener before it, in this process. */
export interface JournalNode extends AsyncDisposable {
  readonly manifest: SqliteManifest;
  readonly url: string;
  readonly metrics: Metrics;
  readonly log: RecordedLog;
  readonly path: string;
  /** Asks it as another node would. */
  readonly client: PrimaryClient;
}

export interface JournalNodeOptions extends Partial<OpenManifestOptions> {
  readonly folder: string;
  readonly name: string;
  /** Peer listener of the primary, or of a proxy before it. Absent: this is the primary. */
  readonly primary?: string | undefined;
  /** Port to listen on; absent: a free one. */
  readonly port?: number | undefined;
  readonly settings?: Partial<ClusterSettings> | undefined;
  /** Shown to others in both directions. Absent: no TLS. */
  readonly tls?: (ServerTls & PeerIdentity) | undefined;
}

/** Starts a node that writes its manifest, or with `primary` one that follows it. */
export async function startJournalNode(options: JournalNodeOptions): Promise<JournalNode> {
  const { folder, name, primary, port = 0, settings, tls, ...over } = options;
  const clock = new SystemClock();
  const metrics = new Metrics();
  const log = new RecordedLog();
  const path = join(folder, 'manifest.db');
  const manifest = await openManifest({
    ...{ path, nodeDatabasePath: join(folder, 'node.db'), clock, log, metrics },
    lock: primary === undefined ? 'local' : 'peer',
    cluster: {
      ...{ node: name, token: CLUSTER_TOKEN, primary: primary ?? '', follows: true },
      ...{ tls, ...settings },
    },
    ...over,
  });
  const handler = createPeerApi({
    ...{ router: new RuleRouter([]), trusts: trustCheck([]), log, metrics, clock },
    routes: ownRoutes({ version: '1.2.3', health: [], draining: () => false }),
    tokens: () => [peerToken('node', CLUSTER_TOKEN)],
    ...{ nodeId: name, version: '1.2.3', draining: () => false, peers: manifest.peers },
  });
  const server = createServer({ handler, log, metrics, clock, tls });
  const bound = await server.listen({ host: '127.0.0.1', port });
  const url = `${tls ? 'https' : 'http'}://127.0.0.1:${bound.port}`;
  await manifest.peers.listening(url);
  const client = new PrimaryClient(url, { token: CLUSTER_TOKEN, tls });
  return {
    ...{ manifest, url, metrics, log, path, client },
    [Symbol.asyncDispose]: async () => {
      await client[Symbol.asyncDispose]();
      await Promise.all([server.close(), server.close()]);
      await manifest[Symbol.asyncDispose]();
    },
  };
}
