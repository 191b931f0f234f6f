import { readPeerTls } from './cluster-parts.ts';
import type { Config } from './config/config.ts';
import type { OpenManifestOptions } from './manifest/open-manifest.ts';
import type { NodeIdentity } from './node-identity.ts';
import { readSecret } from './values.ts';

/** What the manifest has to know of other nodes. Throws `invalid` for a token or certificate that cannot be read. */
export async function manifestCluster(
  config: Config,
  { nodeId, guestOf }: NodeIdentity,
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
      ...(tls && { tls }),
      // Without a part in the replication no other node is asked for it.
      others: manifest.replication === 'none' ? [] : (cluster.nodes ?? []).map(({ href }) => href),
      leaseMs: manifest.lock.leaseMs,
      catchUpMs: cluster.catchUpMs,
    },
  };
}
