import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { rendezvous } from '../../src/fetchers/rendezvous.ts';
import { httpKey } from '../../src/protocol/http-key.ts';
import { HTTP_NAMESPACE } from '../../src/protocol/http-protocol.ts';
import type { OracleOrigin } from '../support/oracle-origin.ts';
import { CLUSTER_HOST, type PeerCluster } from '../support/peer-cluster.ts';

/** Indexes of the nodes in the order in which they are responsible for a path. */
export function ownersOf(cluster: PeerCluster, path: string): readonly number[] {
  const members = cluster.nodes.map(({ dataDir }, index) => ({
    id: readFileSync(join(dataDir, 'node-id'), 'utf8').trim(),
    index,
  }));
  const key = `${HTTP_NAMESPACE}\n${httpKey(`http://${CLUSTER_HOST}${path}`)}`;
  return rendezvous(members, key).map(({ index }) => index);
}

/** A path that a node owns; `number` and the query make it a new one. */
export function pathOwnedBy(
  cluster: PeerCluster,
  owner: number,
  number: number,
  query: string,
): string {
  for (let more = 0; ; more++) {
    const path = `/${number}-${more}?${query}`;
    if (ownersOf(cluster, path)[0] === owner) return path;
  }
}

/** What came of asking one node: whole and right, or broken off with right bytes before. */
export type Asked = 'whole' | 'broken';

/** Asks a node and checks every byte. Throws for a wrong byte, for a short body that ends cleanly and for another status than 200. */
export async function askChecked(
  cluster: PeerCluster,
  origin: OracleOrigin,
  index: number,
  path: string,
  size: number,
): Promise<Asked> {
  const check = origin.check(path, { size });
  let got: Awaited<ReturnType<PeerCluster['getCut']>>;
  try {
    got = await cluster.getCut(index, path);
  } catch {
    return 'broken';
  }
  if (got.status !== 200) throw new Error(`${path}: node ${index} answered ${got.status}`);
  check.write(got.body);
  if (got.error !== undefined) return 'broken';
  check.end();
  return 'whole';
}
