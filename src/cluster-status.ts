import type { CallOptions } from './body.ts';
import type { Clock } from './clock.ts';
import { readPeerTls } from './cluster-parts.ts';
import {
  type ClusterNodeRow,
  clusterStatusInput,
  type NodeStatus,
  nodeStatus,
} from './cluster-schemas.ts';
import type { Config } from './config/config.ts';
import { messageOf, ProxyError } from './errors.ts';
import { PeerClient, type PeerClientOptions } from './fetchers/peer-client.ts';
import type { ControlHandler } from './http/control-socket.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';
import { parseInput } from './operator-input.ts';
import { readSecret } from './values.ts';

/** What the state of a cluster is gathered with. */
export interface ClusterStatusParts {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** This node's word on itself. */
  own(): Promise<NodeStatus>;
  /** This node's peer listener; '': it has none. */
  ownUrl(): string;
}

/** Nodes asked, at most. */
const MAX_NODES = 200;

/** `cluster-status`: a `ClusterNodeRow` for each node that this one, or one that it asked, knows of; this one first. */
export function createClusterHandlers(
  parts: ClusterStatusParts,
): Readonly<Record<string, ControlHandler>> {
  return {
    'cluster-status': async (input, options) =>
      await clusterStatus(parts, parseInput(clusterStatusInput, input).timeoutMs, options),
  };
}

async function clusterStatus(
  parts: ClusterStatusParts,
  timeoutMs: number,
  { signal }: CallOptions,
): Promise<readonly ClusterNodeRow[]> {
  const own = await parts.own();
  const ownUrl = parts.ownUrl();
  const rows: ClusterNodeRow[] = [{ url: ownUrl, state: 'live', self: true, status: own }];
  const asked = new Set([originOf(ownUrl)]);
  const options = await clientOptions(parts);
  let next = own.knows;
  // Who does not share keys with this node may still be known to one that does.
  while (next.length > 0) {
    const urls = [...new Set(next.map(originOf))].filter((url) => url !== '' && !asked.has(url));
    const some = urls.slice(0, Math.max(0, MAX_NODES - asked.size));
    for (const url of some) asked.add(url);
    const found = await Promise.all(
      some.map(async (url) => await rowOf(url, options, timeoutMs, signal)),
    );
    for (const row of found) take(rows, row);
    next = found.flatMap(({ status }) => status?.knows ?? []);
  }
  return withLag(rows);
}

/** One node may be known by several addresses. */
function take(rows: ClusterNodeRow[], row: ClusterNodeRow): void {
  const id = row.status?.nodeId;
  const index = rows.findIndex(({ status }) => id !== undefined && status?.nodeId === id);
  const known = rows[index];
  if (known === undefined) rows.push(row);
  else if (known.self && isWildcard(known.url)) rows[index] = { ...known, url: row.url };
}

async function clientOptions({
  config,
  clock,
  log,
  metrics,
}: ClusterStatusParts): Promise<Omit<PeerClientOptions, 'url'>> {
  const { token: file, dns } = config.cluster;
  const token = file && (await readSecret({ kind: 'file', path: file.file }, config.baseDir));
  const tls = await readPeerTls(config);
  return {
    ...{ name: 'status', clock, log, metrics, certificateFor: dns?.host },
    token: () => {
      if (token !== undefined) return token.trim();
      const message = 'no cluster.token is configured to show to it';
      throw new ProxyError('invalid', 'cluster-status.token', message);
    },
    ...(tls && { ca: tls.ca, identity: { cert: tls.cert, key: tls.key } }),
  };
}

async function rowOf(
  url: string,
  options: Omit<PeerClientOptions, 'url'>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<ClusterNodeRow> {
  const late = AbortSignal.timeout(timeoutMs);
  const down = (problem: string): ClusterNodeRow => ({ url, state: 'down', self: false, problem });
  try {
    await using client = new PeerClient({ ...options, url: new URL(url) });
    const answer = await client.status({ signal: signal ? AbortSignal.any([late, signal]) : late });
    const parsed = nodeStatus.safeParse(answer);
    if (!parsed.success) return down('it answers in a form that this version does not know');
    const { data: status } = parsed;
    if (status.draining) return { ...down('it is stopping'), status };
    return { url, state: 'live', self: false, status };
  } catch (error) {
    signal?.throwIfAborted();
    return down(late.aborted ? `no answer in ${timeoutMs} ms` : messageOf(error));
  }
}

function withLag(rows: readonly ClusterNodeRow[]): readonly ClusterNodeRow[] {
  const [primary] = rows
    .flatMap(({ status }) => (status?.replication === 'primary' ? [status] : []))
    .sort((a, b) => b.term - a.term);
  if (primary === undefined) return rows;
  return rows.map((row) =>
    row.status?.replication === 'replica' ? { ...row, behind: behindOf(row.status, primary) } : row,
  );
}

/** How far a replica's word on itself is behind the primary's. */
export function behindOf(node: NodeStatus, primary: NodeStatus): ClusterNodeRow['behind'] {
  let changes: number | undefined = 0;
  let ms = 0;
  for (const [name, { cursor, at = 0 }] of Object.entries(primary.positions)) {
    const [epoch, jid] = parsed(cursor);
    const here = node.positions[name];
    const [ownEpoch, ownJid] = parsed(here?.cursor ?? `${epoch}:0`);
    const missing = Math.max(0, jid - ownJid);
    if (epoch !== ownEpoch) changes = undefined;
    else if (changes !== undefined) changes += missing;
    if (epoch !== ownEpoch || missing > 0) ms = Math.max(ms, at - (here?.at ?? 0));
  }
  const { litefs } = node;
  const transactions =
    litefs && primary.litefs && Math.max(0, Number(primary.litefs.txid) - Number(litefs.txid));
  return { changes, ms, transactions };
}

function parsed(cursor: string): [epoch: string, jid: number] {
  const at = cursor.indexOf(':');
  return [cursor.slice(0, at), Number(cursor.slice(at + 1))];
}

function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : '';
}

function isWildcard(url: string): boolean {
  return url === '' || /\/\/(0\.0\.0\.0|\[::\]):/.test(url);
}
