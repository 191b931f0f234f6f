import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '../criteria/eventually.ts';
import { manifestPath, queryFile } from '../criteria/node-files.ts';
import { expectSound } from './auditor.ts';
import { FaultProxy } from './fault-proxy.ts';
import { type Answer, HttpClient } from './http-client.ts';
import { ENTRIES } from './journal-cluster.ts';
import { NodeProcess } from './node-process.ts';
import { OracleOrigin } from './oracle-origin.ts';
import { tempFolder } from './temp-folder.ts';

/** Host that every node answers under, so that they have the same keys. */
const HOST = 'www.example.com';
const START_MS = 60_000;
/** On a busy machine nodes take their time. */
const LEVEL_MS = 60_000;

/** How the nodes of a cluster are set up. */
export interface JournalProcessesOptions {
  readonly seed?: number | undefined;
  /** Followers beside the primary. */
  readonly followers: number;
  /** Environment of the primary. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Environment of every node, the primary's own aside. */
  readonly everyEnv?: Readonly<Record<string, string>> | undefined;
  /** How long a lease lasts. Absent: `3s`, a tenth of what is usual. */
  readonly lease?: string | undefined;
}

/** Real nodes: one that writes the manifest, others that follow it through a proxy each, and their origin. */
export class JournalProcesses implements AsyncDisposable {
  readonly origin: OracleOrigin;
  /** The first is the primary as configured. */
  readonly nodes: NodeProcess[] = [];
  /** Before the primary's peer listener, one for each follower in order. */
  readonly proxies: FaultProxy[] = [];
  /** What nodes show each other. */
  token = '';
  readonly #client = new HttpClient();
  readonly #stack = new AsyncDisposableStack();

  private constructor(origin: OracleOrigin) {
    this.origin = this.#stack.use(origin);
    this.#stack.use(this.#client);
  }

  static async start(options: JournalProcessesOptions): Promise<JournalProcesses> {
    const { seed, followers, env, everyEnv, lease = '3s' } = options;
    const cluster = new JournalProcesses(
      await OracleOrigin.start(seed === undefined ? {} : { seed }),
    );
    try {
      const folder = cluster.#stack.use(await tempFolder());
      const file = join(folder.path, 'token');
      cluster.token = randomBytes(24).toString('hex');
      await writeFile(file, cluster.token, { mode: 0o600 });
      const start = async (primary?: string): Promise<NodeProcess> =>
        cluster.#stack.use(
          await NodeProcess.start({
            config: configOf(cluster.origin.url, file, lease, primary),
            env: { ...everyEnv, ...(primary === undefined && env) },
            readyMs: START_MS,
          }),
        );
      const first = await start();
      cluster.nodes.push(first);
      for (let number = 0; number < followers; number++)
        cluster.proxies.push(cluster.#stack.use(await FaultProxy.start(first.peerUrl)));
      const rest = cluster.proxies.map(async ({ url }) => await start(url));
      cluster.nodes.push(...(await Promise.all(rest)));
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  node(number: number): NodeProcess {
    const node = this.nodes[number];
    if (node === undefined) throw new Error(`there is no node ${number}`);
    return node;
  }

  proxy(follower: number): FaultProxy {
    const proxy = this.proxies[follower - 1];
    if (proxy === undefined) throw new Error(`there is no proxy before node ${follower}`);
    return proxy;
  }

  /** A whole answer of one node. */
  async get(number: number, path: string): Promise<Answer> {
    return await this.#client.get(this.node(number).url + path, { headers: { host: HOST } });
  }

  /** Live rows of a path on a node, as its database says. */
  rows(number: number, path: string): { readonly jid: number; readonly digest: string }[] {
    const sql = 'SELECT jid, digest FROM entries WHERE deleted = 0 AND key LIKE ?';
    return queryFile(manifestPath(this.node(number)), sql, `%${path}`);
  }

  /** How many journal rows of a node name a path. */
  changes(number: number, path: string): number {
    const sql = 'SELECT jid FROM journal WHERE key LIKE ?';
    return queryFile(manifestPath(this.node(number)), sql, `%${path}`).length;
  }

  /** Resolves when all nodes that run have the same entries, all columns but the one of each node itself. */
  async level(): Promise<void> {
    await eventually(
      'equal rows on all nodes',
      () => {
        const all = this.nodes
          .filter(({ isRunning }) => isRunning)
          .map((node) =>
            JSON.stringify(
              queryFile<Record<string, unknown>>(manifestPath(node), ENTRIES).map(
                ({ updated_at: _, ...row }) => row,
              ),
            ),
          );
        return all.every((text) => text === all[0]);
      },
      LEVEL_MS,
    );
  }

  /** Stops every node and looks through what it leaves; a body lies where it was filled, others fill it when they are asked. */
  async finish(): Promise<void> {
    for (const node of this.nodes) if (node.isRunning) await node.stop();
    for (const { dataDir } of this.nodes)
      await expectSound({ dataDir, leftovers: true, evicts: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

function configOf(
  originUrl: string,
  token: string,
  lease: string,
  primary: string | undefined,
): Readonly<Record<string, unknown>> {
  return {
    listen: { public: '127.0.0.1:0', peer: '127.0.0.1:0' },
    cluster: {
      tokens: [{ name: 'cluster', file: token }],
      token: { file: token },
      purgeWait: '2s',
      ...(primary !== undefined && { primary }),
    },
    manifest: {
      // A tenth of what is usual.
      lock: { type: primary === undefined ? 'local' : 'peer', acquire: '1s', lease },
      replication: 'journal',
    },
    storage: { local: { type: 'disk', path: 'blobs', keepFree: 0 } },
    fetchers: { site: { type: 'origin', url: originUrl } },
    rules: [{ name: 'site', host: HOST, protocol: 'http', fetch: 'site', stash: 'keep' }],
    stashers: { keep: { type: 'store', backend: 'local' } },
    log: { access: false },
  };
}
