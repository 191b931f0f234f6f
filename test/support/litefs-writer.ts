import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NewEntry } from '../../src/manifest/entry.ts';
import { toRowValues } from '../../src/manifest/entry-row.ts';
import type {
  ChangeResponse,
  LocalRequest,
  PurgeRequest,
  PurgeResponse,
  PutRequest,
  WriterResponse,
  WriterSettings,
} from '../../src/manifest/writer-protocol.ts';
import type { LiteFsCluster, LiteFsNode } from './litefs-cluster.ts';
import { newEntry } from './manifest-fixtures.ts';

/** Name of the database that writers share. */
export const MANIFEST = 'manifest.db';

export type ToWriter =
  | { readonly id: number; readonly request: LocalRequest }
  | { readonly id: number; readonly ask: 'counters' | 'spawn' | 'end' };

export type FromWriter =
  | { readonly id: number; readonly response: WriterResponse }
  | { readonly id: number; readonly error: string }
  | {
      readonly id: number;
      readonly counters: Readonly<Record<string, number>>;
      readonly problem: string | null;
    }
  | { readonly id: number; readonly code: number }
  | { readonly wedged: true }
  | { readonly problem: string | null };

/** How a writer is started. */
export interface LiteFsWriterOptions {
  readonly cluster: LiteFsCluster;
  readonly node: LiteFsNode;
  readonly acquireTimeoutMs?: number | undefined;
  /** Milliseconds that each transaction is stretched by. Absent: none. */
  readonly delayMs?: number | undefined;
}

const entry = fileURLToPath(new URL('litefs-writer-entry.ts', import.meta.url));

/** The manifest's writer on a node of a real LiteFS, in a process of its own; disposing kills it. */
export class LiteFsWriter implements AsyncDisposable {
  readonly process: ChildProcess;
  /** This node's own copy of the rows. */
  readonly mirrorPath: string;
  /** Whether it said that LiteFS stands still. */
  wedged = false;
  /** What keeps it from writing, as it said last. */
  problem: string | undefined;
  readonly #waiting = new Map<number, PromiseWithResolvers<FromWriter>>();
  #nextId = 0;

  private constructor(child: ChildProcess, mirrorPath: string) {
    this.process = child;
    this.mirrorPath = mirrorPath;
    child.on('message', (message: FromWriter) => this.#hear(message));
    child.on('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the writer is gone'));
    });
  }

  /** Starts one and resolves when it was opened, or could not be for now. */
  static async start(options: LiteFsWriterOptions): Promise<LiteFsWriter> {
    const { cluster, node, acquireTimeoutMs = 10_000, delayMs = 0 } = options;
    const folder = join(node.folder, `caje-${randomUUID().slice(0, 8)}`);
    await mkdir(folder);
    const mirrorPath = join(node.folder, 'mirror.db');
    const settings: Omit<WriterSettings, 'liteFs' | 'cluster'> & { readonly liteFs: object } = {
      path: node.path(MANIFEST),
      nodeDatabasePath: join(folder, 'node.db'),
      lock: 'litefs',
      journal: 'delete',
      acquireTimeoutMs,
      liteFs: { addresses: { api: node.url, primary: cluster.primary.url }, mirrorPath },
    };
    const child = fork(entry, [JSON.stringify(settings)], {
      execArgv: ['--conditions=caje-source'],
      env: { ...process.env, CAJE_TEST_COMMIT_DELAY_MS: String(delayMs) },
      serialization: 'advanced',
    });
    const writer = new LiteFsWriter(child, mirrorPath);
    await writer.request({ op: 'open' });
    return writer;
  }

  async request(request: LocalRequest): Promise<WriterResponse> {
    const answer = await this.#ask({ id: this.#nextId++, request });
    if ('response' in answer) return answer.response;
    throw new Error('error' in answer ? answer.error : 'another answer');
  }

  /** Puts an entry of namespace `web`. */
  async put(key: string, over: Partial<NewEntry> = {}): Promise<ChangeResponse> {
    return (await this.request(putRequest(key, over))) as ChangeResponse;
  }

  /** The same for who may never look at what comes of it. */
  begin(key: string): Promise<ChangeResponse> {
    const put = this.put(key);
    put.catch(() => {});
    return put;
  }

  async purge(key: string): Promise<PurgeResponse> {
    return (await this.request(purgeRequest(key))) as PurgeResponse;
  }

  /** Its counters, with the signals that came, and why LiteFS keeps it from working. */
  async state(): Promise<{
    readonly counters: Readonly<Record<string, number>>;
    readonly problem: string | undefined;
  }> {
    const answer = await this.#ask({ id: this.#nextId++, ask: 'counters' });
    if (!('counters' in answer)) throw new Error('another answer');
    return { counters: answer.counters, problem: answer.problem ?? undefined };
  }

  /** Has it start a program and wait for its end. */
  async spawnChild(): Promise<void> {
    await this.#ask({ id: this.#nextId++, ask: 'spawn' });
  }

  async kill9(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await gone;
  }

  /** Ends it in order. */
  async stop(): Promise<void> {
    const gone = once(this.process, 'exit');
    this.process.send({ id: this.#nextId++, ask: 'end' } satisfies ToWriter);
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill9();
  }

  async #ask(message: ToWriter): Promise<FromWriter> {
    const waiting = Promise.withResolvers<FromWriter>();
    this.#waiting.set(message.id, waiting);
    // Who kills the writer knows that it does not answer.
    waiting.promise.catch(() => {});
    this.process.send(message);
    return await waiting.promise;
  }

  #hear(message: FromWriter): void {
    if ('id' in message) {
      this.#waiting.get(message.id)?.resolve(message);
      this.#waiting.delete(message.id);
    } else if ('wedged' in message) this.wedged = true;
    else this.problem = message.problem ?? undefined;
  }
}

/** A put of `newEntry` that no purge forbids. */
export function putRequest(key: string, over: Partial<NewEntry> = {}): PutRequest {
  const at = Date.now();
  return {
    op: 'put',
    namespace: 'web',
    changeId: randomUUID(),
    baseJid: 0,
    actor: 'test',
    at,
    values: toRowValues(newEntry(key, over), at),
    bytes: 1000,
  };
}

/** What the writer is asked for a purge of a key of namespace `web`. */
export function purgeRequest(key: string): PurgeRequest {
  const purge = { kind: 'key', value: key, namespace: 'web', soft: false, actor: 'test' } as const;
  return { op: 'purge', changeId: randomUUID(), purge, namespaces: ['web'], at: Date.now() };
}
