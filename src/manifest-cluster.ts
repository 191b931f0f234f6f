import { resolve } from 'node:path';
import { isLiteFs } from '@caje/litefs';
import { placeOf, readPeerTls } from './cluster-parts.ts';
import type { Config } from './config/config.ts';
import type { OpenManifestOptions } from './manifest/open-manifest.ts';
import type { ClusterSettings } from './manifest/writer-protocol.ts';
import type { NodeIdentity } from './node-identity.ts';
import { readSecret } from './values.ts';

/** What the manifest has to know of other nodes. Throws `invalid` for a token or certificate that cannot be read. */
export async function manifestCluster(
  config: Config,
  { nodeId, guestOf, dataDir }: NodeIdentity,
): Promise<Pick<OpenManifestOptions, 'cluster' | 'purgeWaitMs'>> {
  const { cluster, manifest, roles, baseDir } = config;
  // A node shows the others what it shows to those who ask it.
  const tls = await readPeerTls(config);
  const token =
    cluster.token && (await readSecret({ kind: 'file', path: cluster.token.file }, baseDir));
  return {
    purgeWaitMs: cluster.purgeWaitMs,
    cluster: {
      node: nodeId,
      mayLead: roles.includes('writer'),
      guestOf,
      follows: manifest.replication === 'journal',
      primary: cluster.primary?.href ?? '',
      token: token?.trim() ?? '',
      ...(cluster.token && { tokenFile: resolve(baseDir, cluster.token.file) }),
      ...(tls && { tls }),
      ...nodesOf(config, resolve(dataDir, manifest.path)),
      leaseMs: manifest.lock.leaseMs,
      catchUpMs: cluster.catchUpMs,
    },
  };
}

/**
 * The nodes that are asked about the manifest at this path. None without a part in the replication, which on LiteFS every node
 * has that does not choose its lock alone.
 */
export function nodesOf(config: Config, path: string): Pick<ClusterSettings, 'others' | 'dns'> {
  const { replication, lock } = config.manifest;
  const isOnLiteFs = lock.type === 'peer-litefs' || (lock.type === 'auto' && isLiteFs(path));
  const place = placeOf(config);
  if (place === undefined || (replication === 'none' && !isOnLiteFs)) return { others: [] };
  if ('urls' in place) return { others: place.urls.map(({ href }) => href) };
  const { name: host, port, scheme } = place;
  return { others: [], dns: { host, port, scheme } };
}
