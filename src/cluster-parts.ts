import { resolve } from 'node:path';
import type { Clock } from './clock.ts';
import type { Config } from './config/config.ts';
import { kindOf } from './errors.ts';
import { ClusterNodes, type ClusterPlace } from './fetchers/cluster-nodes.ts';
import { readCa, readPem } from './fetchers/fetcher-options.ts';
import type { OpenBlob } from './http/peer-blob.ts';
import type { TokenFile } from './http/peer-token-files.ts';
import type { ServerTls } from './http/server.ts';
import type { Logger } from './log.ts';
import type { Manifest } from './manifest/manifest.ts';
import type { Metrics } from './metrics.ts';
import type { NodeIdentity } from './node-identity.ts';
import type { BuiltRule } from './rule-set.ts';
import type { Backend } from './storage/backend.ts';
import { readSecret } from './values.ts';

/** What a view of the cluster is opened with. */
export interface ClusterParts {
  readonly config: Config;
  readonly identity: NodeIdentity;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Requests to one other node at once, each of which may hold a block in memory; what is more is got by this node itself. */
const NODE_SOCKETS = 128;

/**
 * The nodes that share keys with this one; nothing is asked before `start`. Absent: the configuration names none. Throws
 * `invalid` for a token or certificate that cannot be read.
 */
export async function openCluster(parts: ClusterParts): Promise<ClusterNodes | undefined> {
  const { config, identity, clock, log, metrics } = parts;
  const { token } = config.cluster;
  const place = placeOf(config);
  if (place === undefined || token === undefined) return undefined;
  const readToken = async (): Promise<string> =>
    await readSecret({ kind: 'file', path: token.file }, config.baseDir);
  await readToken();
  // A node shows the others what it shows to those who ask it.
  const tls = await readPeerTls(config);
  return new ClusterNodes({
    ...{ name: 'owner', clock, log, metrics, place, readToken },
    selfId: identity.nodeId,
    isAsked: config.listen.peer !== undefined,
    maxSockets: NODE_SOCKETS,
    ...(tls && { ca: tls.ca, identity: { cert: tls.cert, key: tls.key } }),
  });
}

/** Where the nodes that share keys are. Absent: the configuration names none. */
export function placeOf({ cluster, listen }: Config): ClusterPlace | undefined {
  const { nodes: urls, dns } = cluster;
  if (urls) return { urls };
  if (!dns) return undefined;
  return { name: dns.host, port: dns.port, scheme: listen.peer?.tls ? 'https' : 'http' };
}

/** What the peer listener speaks TLS with. Absent: it does not. Throws `invalid` naming the file that cannot be used. */
export async function readPeerTls({ listen, baseDir }: Config): Promise<ServerTls | undefined> {
  const tls = listen.peer?.tls;
  if (tls === undefined) return undefined;
  return {
    cert: await readPem('cert', tls.cert, baseDir),
    key: await readPem('key', tls.key, baseDir),
    ca: await readCa(tls.ca, baseDir),
  };
}

/** The files of those who may ask. */
export function tokenFiles({ cluster, baseDir }: Config): TokenFile[] {
  return cluster.tokens.map(({ name, file }) => ({ name, path: resolve(baseDir, file) }));
}

/** Where bodies are looked for. */
export interface BlobParts {
  readonly manifest: Pick<Manifest, 'isReferenced'>;
  readonly backends: readonly Backend[];
  readonly rules: readonly BuiltRule[];
}

/** Bodies that peers may have by digest: those that an entry of a rule names that keeps nothing from them. */
export function blobOpener({ manifest, backends, rules }: BlobParts): OpenBlob {
  const open = rules.filter(({ config }) => !hasPrivatePart(config));
  const names = new Set(open.map(({ config }) => config.name));
  return async (digest, options) => {
    if (names.size === 0 || !(await manifest.isReferenced(digest, names))) return undefined;
    for (const backend of backends) {
      try {
        const opened = await backend.open(digest, options);
        if (opened !== undefined) return { opened, from: backend };
      } catch (error) {
        if (kindOf(error) === 'aborted') throw error;
      }
    }
    return undefined;
  };
}

// A rule that hides some of what it keeps cannot say of a digest alone whether it is among that.
function hasPrivatePart(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(
    ([key, inside]) => (key === 'private' && inside === true) || hasPrivatePart(inside),
  );
}
