import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { type Answer, type AskOptions, type CutAnswer, HttpClient } from './http-client.ts';
import { NodeProcess } from './node-process.ts';
import { type TempFolder, tempFolder } from './temp-folder.ts';

type Keys = Readonly<Record<string, unknown>>;

/** What differs from the usual cluster. */
export interface PeerClusterOptions {
  /** Absent: 3. */
  readonly size?: number | undefined;
  /** Of the origin that every node fetches from. */
  readonly originUrl: string;
  /** Keys of every node's configuration beside the usual ones, or in their place. */
  readonly config?: Keys | ((index: number, peerUrl: string) => Keys) | undefined;
  /** Keys of `cluster` beside the usual ones. */
  readonly cluster?: Keys | ((index: number) => Keys) | undefined;
  /** Environment of a node. Absent: nothing more. */
  readonly env?: ((index: number) => Readonly<Record<string, string>>) | undefined;
  /** What another node sees of a node, where it is not its own peer listener. */
  readonly seenAs?: ((peerUrl: string, index: number) => Promise<string>) | undefined;
}

/** Public host under which every node serves the same keys. */
export const CLUSTER_HOST = 'www.example.com';
/** Longest silence of an owner on a machine that is busy with other things. */
const PATIENCE = '10s';
const CONCURRENT = 512;

/** Several real nodes in processes of their own that share keys, one token for each, and one client. */
export class PeerCluster implements AsyncDisposable {
  readonly nodes: readonly NodeProcess[];
  /** Peer listeners as the nodes know each other by. */
  readonly peerUrls: readonly string[];
  readonly client: HttpClient = new HttpClient();
  readonly #folder: TempFolder;

  private constructor(nodes: readonly NodeProcess[], urls: readonly string[], folder: TempFolder) {
    this.nodes = nodes;
    this.peerUrls = urls;
    this.#folder = folder;
  }

  /** Starts all of them; resolves when each has found the others. */
  static async start(options: PeerClusterOptions): Promise<PeerCluster> {
    const folder = await tempFolder();
    const own = await freeUrls(options.size ?? 3);
    const seen = await Promise.all(
      own.map(async (url, at) => (await options.seenAs?.(url, at)) ?? url),
    );
    const tokens = await writeTokens(folder.path, own.length);
    const started = await Promise.allSettled(
      own.map(async (url, index) => {
        const config = configOf(options, { index, url, seen, tokens });
        return await NodeProcess.start({ config, env: options.env?.(index), readyMs: 60_000 });
      }),
    );
    const nodes = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const cluster = new PeerCluster(nodes, seen, folder);
    const failed = started.find((one) => one.status === 'rejected');
    if (failed) {
      await cluster[Symbol.asyncDispose]();
      throw failed.reason;
    }
    await Promise.all(nodes.map(async (_, index) => await cluster.found(index)));
    return cluster;
  }

  /** The node at a place. Throws where there is none. */
  node(index: number): NodeProcess {
    const node = this.nodes[index];
    if (node === undefined) throw new Error(`there is no node ${index}`);
    return node;
  }

  /** File of the token that a node shows. */
  tokenFile(index: number): string {
    return join(this.#folder.path, 'tokens', `n${index}`);
  }

  /** Resolves once a node has found all the others, and itself, since its log line number `since`. */
  async found(index: number, since = 0): Promise<void> {
    for (const other of this.nodes.keys()) await this.sees(index, other, since);
  }

  /** Resolves once a node has found another one, or itself, since its log line number `since`. */
  async sees(index: number, other: number, since: number): Promise<void> {
    const node = this.node(index);
    await node.logged(
      (line) =>
        line['node'] === this.peerUrls[other] &&
        /is there|is our own/.test(line.msg) &&
        node.log.indexOf(line) >= since,
    );
  }

  /** A whole answer of a node for a key of the cluster. Rejects when the body breaks off. */
  async get(index: number, path: string, options: AskOptions = {}): Promise<Answer> {
    return await this.client.get(this.node(index).url + path, asHost(options));
  }

  /** The same, with what came where the body breaks off. Rejects when the connection fails before the head. */
  async getCut(index: number, path: string, options: AskOptions = {}): Promise<CutAnswer> {
    return await this.client.getCut(this.node(index).url + path, asHost(options));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
    await Promise.all(this.nodes.map(async (node) => await node[Symbol.asyncDispose]()));
    await this.#folder[Symbol.asyncDispose]();
  }
}

interface Place {
  readonly index: number;
  readonly url: string;
  readonly seen: readonly string[];
  readonly tokens: readonly string[];
}

function configOf(options: PeerClusterOptions, { index, url, seen, tokens }: Place): Keys {
  const { originUrl, config = {}, cluster = {} } = options;
  return {
    listen: { public: '127.0.0.1:0', peer: new URL(url).host },
    log: { access: false },
    fills: { concurrent: CONCURRENT },
    storage: { local: { type: 'disk', path: 'blobs', keepFree: 0 } },
    fetchers: { site: { type: 'origin', url: originUrl, maxSockets: CONCURRENT } },
    rules: [{ name: 'site', host: CLUSTER_HOST, protocol: 'http', fetch: 'site' }],
    ...of(config, index, url),
    cluster: {
      tokens: tokens.map((file, at) => ({ name: `n${at}`, file })),
      token: { file: tokens[index] },
      nodes: seen,
      ownerTimeout: PATIENCE,
      ...of(cluster, index, url),
    },
  };
}

function of(keys: Keys | ((index: number, url: string) => Keys), index: number, url: string): Keys {
  return typeof keys === 'function' ? keys(index, url) : keys;
}

function asHost(options: AskOptions): AskOptions {
  return { ...options, headers: { host: CLUSTER_HOST, ...options.headers } };
}

async function writeTokens(folder: string, count: number): Promise<string[]> {
  await mkdir(join(folder, 'tokens'));
  const files = Array.from({ length: count }, (_, index) => join(folder, 'tokens', `n${index}`));
  for (const file of files) await writeFile(file, randomBytes(24).toString('hex'), { mode: 0o600 });
  return files;
}

/** Addresses of 127.0.0.1 that were free a moment ago. */
export async function freeUrls(count: number): Promise<string[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map(async (server) => await once(server, 'listening')));
  const urls = servers.map(
    (server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  );
  await Promise.all(servers.map(async (server) => await once(server.close(), 'close')));
  return urls;
}
