import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { databases, info, liteFsMount, primary } from '@caje/litefs';
import { stringify } from 'yaml';
import { FaultProxy } from './fault-proxy.ts';

const READY_MS = 15_000;
const STOP_MS = 5000;
/** Lines of a LiteFS that are kept to be shown. */
const LINES = 40;

/** The LiteFS binary that tests may use, from `CAJE_TEST_LITEFS` or PATH. Absent: there is none. */
export function liteFsBinary(): string | undefined {
  const named = process.env['CAJE_TEST_LITEFS'];
  if (named !== undefined && named !== '') return named;
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.map((folder) => join(folder, 'litefs')).find(isExecutable);
}

/** Why tests on a real LiteFS cannot run here. Absent: they can. */
export function liteFsObstacle(): string | undefined {
  const binary = liteFsBinary();
  if (binary === undefined) return 'CAJE_TEST_LITEFS names no LiteFS and PATH has none';
  if (!isExecutable(binary)) return `CAJE_TEST_LITEFS: ${binary} cannot be run`;
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
  } catch {
    return '/dev/fuse is not there, or not for this user';
  }
  return undefined;
}

/** How a cluster is started. */
export interface LiteFsClusterOptions {
  /** The first is the primary. */
  readonly nodes: number;
  /** True: every replica reaches the primary through a `FaultProxy` of its own. Absent: directly. */
  readonly relays?: boolean | undefined;
  /** `data.retention` of LiteFS. Absent: `1m`. */
  readonly retention?: string | undefined;
  /** True: nodes call the primary by host and port of its API, so that another may become it. Absent: `n1`. */
  readonly byAddress?: boolean | undefined;
}

/** One real LiteFS with its mount. */
export class LiteFsNode {
  readonly name: string;
  readonly folder: string;
  readonly mount: string;
  /** Its HTTP API. */
  readonly url: string;
  /** Between it and the primary. Absent: nothing is. */
  readonly relay: FaultProxy | undefined;
  /** The end of what it wrote. */
  readonly lines: string[] = [];
  #child: ChildProcess | undefined;

  constructor(folder: string, name: string, url: string, relay: FaultProxy | undefined) {
    this.folder = folder;
    this.name = name;
    this.url = url;
    this.relay = relay;
    this.mount = join(folder, 'mnt');
    // What a test that was broken off leaves behind would hold its folder for ever.
    process.once('exit', this.#clear);
  }

  get isRunning(): boolean {
    const child = this.#child;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error(`${this.name} does not run`);
    return this.#child.pid;
  }

  /** Path of a database on its mount. */
  path(database: string): string {
    return join(this.mount, database);
  }

  /** Starts it and resolves when it answers and, where asked, is connected to its primary. */
  async start(connected = true): Promise<void> {
    // It cannot mount over what a dead one left while anybody has a file open there.
    this.#unmount();
    const child = spawn(
      liteFsBinary() ?? 'litefs',
      ['mount', '-config', join(this.folder, 'f.yml')],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.lines.push(...text.split('\n').filter((line) => line !== ''));
        this.lines.splice(0, this.lines.length - LINES);
      });
    }
    await this.until(async () => {
      const state = await info({ url: this.url });
      if (liteFsMount(this.path('x')) === undefined) return false;
      return state.isPrimary || !connected || (await primary(this.path('x'))) !== undefined;
    }, `${this.name} to be ready`);
  }

  /** SIGTERM, and SIGKILL where it does not help. Resolves with the exit code when it is gone; absent: a signal ended it. */
  async stop(): Promise<number | undefined> {
    const child = this.#child;
    if (child === undefined || !this.isRunning) return undefined;
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    const [code] = (await gone) as [number | null];
    clearTimeout(timer);
    return code ?? undefined;
  }

  /** SIGKILL; the mount stays, dead, until it is started again. */
  async kill9(): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.isRunning) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** Stops all of its threads, as a machine that hangs does. */
  pause(): void {
    process.kill(this.pid, 'SIGSTOP');
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  /** Transaction that it has come to; 0n: it does not know the database. */
  async txid(database: string): Promise<bigint> {
    return (await databases({ url: this.url })).get(database)?.txid ?? 0n;
  }

  /** Resolves once the condition holds; what it throws counts as no. Throws after a while, with the last words of LiteFS. */
  async until(
    holds: () => Promise<boolean>,
    what: string,
    timeoutMs: number = READY_MS,
  ): Promise<void> {
    const end = performance.now() + timeoutMs;
    while (!(await holds().catch(() => false))) {
      if (performance.now() > end)
        throw new Error(`waited in vain for ${what}:\n${this.lines.join('\n')}`);
      await delay(20);
    }
  }

  /** Ends it and takes its mount away. */
  async close(): Promise<void> {
    if (this.isRunning) {
      this.resume();
      await this.stop();
    }
    process.removeListener('exit', this.#clear);
    this.#clear();
    await this.relay?.[Symbol.asyncDispose]();
  }

  readonly #clear = (): void => {
    if (this.isRunning) this.#child?.kill('SIGKILL');
    this.#unmount();
  };

  #unmount(): void {
    if (liteFsMount(this.path('x')) !== undefined)
      spawnSync('umount', ['-l', this.mount], { stdio: 'ignore' });
  }
}

/** LiteFS nodes with a static lease on loopback, each in a folder of its own; disposing ends and removes all. */
export class LiteFsCluster implements AsyncDisposable {
  readonly nodes: readonly LiteFsNode[];
  readonly #folder: string;

  private constructor(folder: string, nodes: readonly LiteFsNode[]) {
    this.#folder = folder;
    this.nodes = nodes;
  }

  static async start(options: LiteFsClusterOptions): Promise<LiteFsCluster> {
    const folder = await mkdtemp(join(tmpdir(), 'caje-test-litefs-'));
    const nodes: LiteFsNode[] = [];
    const cluster = new LiteFsCluster(folder, nodes);
    try {
      for (let i = 0; i < options.nodes; i++)
        nodes.push(await makeNode(folder, i, nodes[0], options));
      for (const node of nodes) await node.start();
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  get primary(): LiteFsNode {
    return this.node(0);
  }

  node(index: number): LiteFsNode {
    const node = this.nodes[index];
    if (node === undefined) throw new Error(`there is no node ${index}`);
    return node;
  }

  /** Resolves once every node is at the primary's transaction. */
  async inStep(database: string, timeoutMs?: number): Promise<void> {
    const [first, ...rest] = this.nodes;
    if (first === undefined) return;
    await first.until(
      async () => {
        const txid = await first.txid(database);
        const others = await Promise.all(rest.map(async (node) => await node.txid(database)));
        return others.every((other) => other === txid);
      },
      'all nodes to be in step',
      timeoutMs,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Replicas first: one without its primary takes long to end.
    for (const node of this.nodes.toReversed()) await node.close();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function makeNode(
  parent: string,
  index: number,
  first: LiteFsNode | undefined,
  options: LiteFsClusterOptions,
): Promise<LiteFsNode> {
  const folder = join(parent, `n${index + 1}`);
  await mkdir(join(folder, 'mnt'), { recursive: true });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const relay =
    first !== undefined && options.relays === true ? await FaultProxy.start(first.url) : undefined;
  const config = {
    'exit-on-error': true,
    fuse: { dir: join(folder, 'mnt') },
    data: {
      dir: join(folder, 'data'),
      retention: options.retention ?? '1m',
      'retention-monitor-interval': '1s',
    },
    http: { addr: `127.0.0.1:${port}` },
    lease: {
      type: 'static',
      candidate: first === undefined,
      hostname: options.byAddress === true ? new URL(first?.url ?? url).host : 'n1',
      'advertise-url': relay?.url ?? first?.url ?? url,
      'reconnect-delay': '1s',
    },
  };
  await writeFile(join(folder, 'f.yml'), stringify(config));
  return new LiteFsNode(folder, `n${index + 1}`, url, relay);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
