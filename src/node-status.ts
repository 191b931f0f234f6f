import { resolve } from 'node:path';
import { isLiteFs, lag, position, primary } from '@caje/litefs';
import type { NodeStatus } from './cluster-schemas.ts';
import type { Config } from './config/config.ts';
import { lockOf } from './manifest/open-manifest.ts';
import type { PrimaryService } from './manifest/primary-service.ts';
import { nodesOf } from './manifest-cluster.ts';
import type { NodeIdentity } from './node-identity.ts';
import { VERSION } from './version.ts';

/** What a node's word on itself is made of. */
export interface NodeStatusParts {
  readonly config: Config;
  readonly identity: NodeIdentity;
  readonly peers: PrimaryService;
  /** True: the node is stopping. */
  draining(): boolean;
  /** Peer listeners of the nodes that share keys with this one. */
  nodeUrls(): readonly string[];
}

/** What this node says of itself. Never throws for a LiteFS that stands still: its part is absent then. */
export async function statusOfNode(parts: NodeStatusParts): Promise<NodeStatus> {
  const { config, identity, peers, draining, nodeUrls } = parts;
  const { manifest, cluster, roles } = config;
  const { own, followers } = peers;
  const path = resolve(identity.dataDir, manifest.path);
  const litefs = await liteFsOf(path);
  const isReplica = own.role === 'replica' || (litefs !== undefined && litefs.primary !== '');
  const isAlone = manifest.replication === 'none' && litefs === undefined && !isReplica;
  const knows = [
    ...nodeUrls(),
    ...(cluster.primary === undefined ? [] : [cluster.primary.origin]),
    own.known.url,
    ...followers.map(({ url }) => url),
  ];
  return {
    nodeId: identity.nodeId,
    version: VERSION,
    roles,
    draining: draining(),
    replication: isAlone ? 'alone' : isReplica ? 'replica' : 'primary',
    lock: lockOf({
      ...{ path, lock: manifest.lock.type },
      cluster: {
        primary: cluster.primary?.href ?? '',
        token: cluster.token?.file ?? '',
        mayLead: roles.includes('writer'),
        ...nodesOf(config, path),
      },
    }),
    term: own.known.term,
    trusted: own.trusted,
    positions: peers.positions(),
    litefs,
    knows: [...new Set(knows.filter((url) => url !== ''))],
  };
}

async function liteFsOf(path: string): Promise<NodeStatus['litefs']> {
  try {
    if (!isLiteFs(path)) return undefined;
    const at = await position(path);
    return {
      txid: String(at?.txid ?? 0n),
      lagMs: await lag(path),
      primary: (await primary(path)) ?? '',
    };
  } catch {
    return undefined;
  }
}
