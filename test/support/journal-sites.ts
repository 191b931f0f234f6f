import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { type PeerConfig, peerConfig } from '../criteria/peer-config.ts';
import { Site } from '../criteria/site.ts';

/** Host that the second node has through the first, and one that each node has from an origin of its own. */
export const SHARED = 'shared.test';
export const OWN = 'own.test';

/** A primary and a replica of journal replication, each a process with an origin, a store and a peer listener of its own. */
export interface JournalSites extends AsyncDisposable {
  readonly peer: PeerConfig;
  readonly first: Site;
  readonly second: Site;
}

/** Starts both; `over`: further keys of the second one's configuration. */
export async function journalSites(
  over: Readonly<Record<string, unknown>> = {},
): Promise<JournalSites> {
  const stack = new AsyncDisposableStack();
  try {
    const peer = stack.use(await peerConfig());
    const { tokens } = peer.listening['cluster'] as { tokens: { file: string }[] };
    const cluster = { tokens, token: { file: tokens[0]?.file } };
    const manifest = { replication: 'journal' };
    const rules = [
      { name: 'shared', host: SHARED },
      { name: 'own', host: OWN },
    ];
    const base = { ...peer.listening, manifest };
    const first = stack.use(await Site.start({ config: { ...base, cluster }, rules }));
    const { peerUrl } = first.node;
    const second = stack.use(
      await Site.start({
        config: {
          ...base,
          manifest: { ...manifest, lock: { type: 'peer' } },
          cluster: { ...cluster, primary: peerUrl },
          ...over,
        },
        rules: rules.map((rule) => (rule.host === SHARED ? { ...rule, fetch: ['near'] } : rule)),
        fetchers: { near: peer.asking(peerUrl) },
      }),
    );
    return { peer, first, second, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** Connections that a process of this machine holds to a port over IPv4. */
export function connectionsTo(pid: number, port: number): number {
  const inodes = new Set<string>();
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    const [, inode] = /^socket:\[(\d+)\]$/.exec(linkAt(`/proc/${pid}/fd/${name}`)) ?? [];
    if (inode !== undefined) inodes.add(inode);
  }
  const remote = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = readFileSync(`/proc/${pid}/net/tcp`, 'utf8').split('\n');
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , to, , , , , , , inode]) => to?.endsWith(remote) && inodes.has(inode ?? ''))
    .length;
}

function linkAt(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    // Closed since it was listed.
    return '';
  }
}
