import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HttpClient } from './http-client.ts';
import { auditRows } from './litefs-audit.ts';
import { journalOf } from './litefs-checks.ts';
import { LiteFsCluster } from './litefs-cluster.ts';
import { MANIFEST } from './litefs-writer.ts';
import { NodeProcess } from './node-process.ts';
import { OracleOrigin } from './oracle-origin.ts';
import { CLUSTER_HOST, freeUrls } from './peer-cluster.ts';
import { tempFolder } from './temp-folder.ts';

const READY_MS = 60_000;
const TOKEN = 'a-token-of-nodes-on-litefs';

/** How whole nodes on a LiteFS are set up. */
export interface LiteFsSitesOptions {
  readonly seed?: number | undefined;
  /** LiteFS nodes. Absent: as many as there are caje nodes. */
  readonly mounts?: number | undefined;
  /** Environment of a node by its place. */
  readonly env?: ((index: number) => Readonly<Record<string, string>>) | undefined;
}

/** Two whole nodes on the mounts of a real LiteFS, the first on its primary, that know each other as peers; and their origin. */
export class LiteFsSites implements AsyncDisposable {
  readonly liteFs: LiteFsCluster;
  readonly origin: OracleOrigin;
  readonly nodes: NodeProcess[] = [];
  readonly #client = new HttpClient();
  readonly #stack = new AsyncDisposableStack();

  private constructor(liteFs: LiteFsCluster, origin: OracleOrigin) {
    this.liteFs = this.#stack.use(liteFs);
    this.origin = this.#stack.use(origin);
    this.#stack.use(this.#client);
  }

  static async start({ seed, mounts = 2, env }: LiteFsSitesOptions = {}): Promise<LiteFsSites> {
    const origin = await OracleOrigin.start(seed === undefined ? {} : { seed });
    const sites = new LiteFsSites(await LiteFsCluster.start({ nodes: mounts }), origin);
    try {
      const folder = sites.#stack.use(await tempFolder());
      const file = join(folder.path, 'token');
      await writeFile(file, TOKEN, { mode: 0o600 });
      const peers = await freeUrls(2);
      for (const index of peers.keys()) {
        const node = await NodeProcess.start({
          config: sites.#configOf(index, peers, file),
          env: env?.(index),
          readyMs: READY_MS,
        });
        sites.nodes.push(sites.#stack.use(node));
      }
      return sites;
    } catch (error) {
      await sites[Symbol.asyncDispose]();
      throw error;
    }
  }

  node(index: number): NodeProcess {
    const node = this.nodes[index];
    if (node === undefined) throw new Error(`there is no node ${index}`);
    return node;
  }

  /** X-Cache of a whole and right answer of 1,024 bytes. Throws for any other. */
  async ask(index: number, path: string): Promise<string> {
    const url = this.node(index).url + path;
    const asked = await this.#client.get(url, { headers: { host: CLUSTER_HOST } });
    const { status, body, headers } = asked;
    if (status !== 200) throw new Error(`${path}: node ${index} answered ${status}`);
    const check = this.origin.check(path);
    check.write(body);
    check.end();
    return headers.get('X-Cache') ?? '';
  }

  /** Resolves once a path is in the journal of LiteFS' primary. Throws after a while. */
  async written(path: string, timeoutMs?: number): Promise<void> {
    const first = this.liteFs.primary;
    await first.until(
      async () => (await journalOf(first)).some(({ key }) => key.endsWith(path)),
      `${path} to be written`,
      timeoutMs,
    );
  }

  /** Keys of paths that begin so in the journal that all nodes of LiteFS have, after a look at all rows. */
  async audit(prefix: string): Promise<ReadonlySet<string>> {
    const journal = await auditRows(this.liteFs);
    return new Set(journal.map(({ key }) => key).filter((key) => key.includes(prefix)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  #configOf(
    index: number,
    nodes: readonly string[],
    token: string,
  ): Readonly<Record<string, unknown>> {
    const mount = this.liteFs.node(index);
    return {
      listen: { public: '127.0.0.1:0', peer: new URL(nodes[index] ?? '').host },
      cluster: { tokens: [{ name: 'all', file: token }], token: { file: token }, nodes },
      fetchers: { site: { type: 'origin', url: this.origin.url } },
      rules: [{ name: 'site', host: CLUSTER_HOST, protocol: 'http', fetch: 'site' }],
      manifest: {
        path: mount.path(MANIFEST),
        lock: { type: 'litefs' },
        litefs: { api: mount.url, primary: this.liteFs.primary.url },
      },
    };
  }
}
