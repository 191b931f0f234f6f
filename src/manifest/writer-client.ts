import type { Clock } from '../clock.ts';
import { kindOf, messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { workerEntry } from '../sqlite/worker-entry.ts';
import { WriterThread } from '../sqlite/writer-thread.ts';
import type { LeaseAnswer, NodeState } from './primary-protocol.ts';
import type {
  AppliedPurge,
  ChangeRequest,
  ChangeResponse,
  ClusterAsk,
  FreshnessRow,
  LiteFsMet,
  PurgeRequest,
  PurgeResponse,
  WriterEvent,
  WriterRequest,
  WriterResponse,
  WriterSettings,
} from './writer-protocol.ts';

/** What waits to be written, at most (reliability: a queue has a bound, beyond it is counted). */
const MAX_PENDING = 10_000;
const MAX_PENDING_BYTES = 16 * 1024 * 1024;
const RETRY_MS = 1000;

/** What the client needs beside the settings of its thread. */
export interface WriterClientContext {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Called when the database was put aside and made anew. */
  readonly onReplaced: () => void;
  /** Called when this node's place among the others changed. */
  readonly onCluster: (state: NodeState) => void;
  /** Called when rows of another node came in; what they mean is known when it returns. */
  readonly onApplied: (reset: boolean, purges: readonly AppliedPurge[]) => void;
  /** Called with what the writer met on LiteFS. */
  readonly onLiteFs: (met: LiteFsMet) => void;
}

/** The manifest's writer thread as the rest of the process sees it: bounded, counted, asked again when it died. */
export class WriterClient implements AsyncDisposable {
  readonly #thread: WriterThread<WriterRequest, WriterResponse, WriterEvent>;
  readonly #context: WriterClientContext;
  #pending = 0;
  #pendingBytes = 0;
  #problem: string | undefined;
  #link: string | undefined;
  #closed = false;

  constructor(settings: WriterSettings, context: WriterClientContext) {
    this.#context = context;
    this.#thread = new WriterThread({
      entry: workerEntry(new URL('./manifest-writer-thread.ts', import.meta.url)),
      workerData: settings,
      onEvent: (event) => this.#hear(event),
    });
  }

  /** Why nothing can be written now. Absent: it can. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Changes and purges that wait. */
  get pending(): number {
    return this.#pending;
  }

  /** Whether the node stops. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Whether a change of this size still fits the queue. */
  hasRoom(bytes: number): boolean {
    return (
      !this.#closed &&
      this.#pending < MAX_PENDING &&
      this.#pendingBytes + bytes <= MAX_PENDING_BYTES
    );
  }

  /** Opens the database as far as it can be opened now. Throws `conflict` when its schema is newer than this caje. */
  async open(): Promise<void> {
    await this.#thread.request({ op: 'open' });
  }

  /** Resolves once the change is durable or known not to be written; never rejects. */
  async change(request: ChangeRequest): Promise<ChangeResponse> {
    return (
      ((await this.#ask(request, request.bytes)) as ChangeResponse | undefined) ?? {
        outcome: 'dropped',
      }
    );
  }

  /** Absent: the node stopped before it was durable. Throws `invalid` where the primary refuses it. */
  async purge(request: PurgeRequest): Promise<PurgeResponse | undefined> {
    return (await this.#ask(request, 0)) as PurgeResponse | undefined;
  }

  /** Resolves with the answer for this kind of question; rejects as the writer does. */
  async ask(ask: ClusterAsk): Promise<NodeState | LeaseAnswer | null> {
    const answer = await this.#thread.request({ op: 'cluster', ask });
    return answer as NodeState | LeaseAnswer | null;
  }

  /** Resolves when tried; what cannot be written is given up. */
  async freshness(rows: readonly FreshnessRow[], expired: number): Promise<void> {
    await this.#thread.request({ op: 'freshness', rows, expired }).catch((error: unknown) => {
      this.#context.log.debug({ error: messageOf(error) }, 'freshness could not be noted');
    });
  }

  /** A reader met damage. */
  reportDamage(): void {
    void this.#thread.request({ op: 'damaged' }).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#thread[Symbol.asyncDispose]();
  }

  async #ask(
    request: ChangeRequest | PurgeRequest,
    bytes: number,
  ): Promise<WriterResponse | undefined> {
    this.#pending += 1;
    this.#pendingBytes += bytes;
    try {
      for (;;) {
        try {
          return await this.#thread.request(request);
        } catch (error) {
          // The thread died with the request: whether it was written is told by its changeId when it is asked again.
          // What a primary will never take, such as a kind of purge that its caje does not know, is said and not waited for.
          if (request.op === 'purge' && kindOf(error) === 'invalid') throw error;
          if (this.#closed || kindOf(error) !== 'unavailable') return undefined;
          this.#say(messageOf(error));
          await this.#context.clock.sleep(RETRY_MS);
        }
      }
    } finally {
      this.#pending -= 1;
      this.#pendingBytes -= bytes;
    }
  }

  #hear(event: WriterEvent): void {
    const { metrics, log, onApplied, onCluster, onReplaced } = this.#context;
    switch (event.type) {
      case 'count':
        metrics.count(event.name, event.label, event.by);
        break;
      case 'problem':
        this.#say(event.text, event.code);
        break;
      case 'link':
        this.#sayLink(event.text, event.code);
        break;
      case 'cluster':
        onCluster(event.state);
        break;
      case 'applied':
        onApplied(event.reset, event.purges);
        this.ask({ kind: 'followed', seq: event.seq }).catch(() => {});
        break;
      case 'litefs':
        this.#context.onLiteFs(event.met);
        break;
      case 'replaced':
        metrics.count('recovered_total', 'manifest');
        log.error(
          { aside: event.aside },
          'the manifest was damaged; it was put aside and a new one made',
        );
        onReplaced();
    }
  }

  #sayLink(link: string | undefined, code?: string): void {
    if (this.#link === link) return;
    this.#link = link;
    const { log } = this.#context;
    if (link === undefined) log.info({}, 'the primary of the manifest is there again');
    else
      log.warn(
        { problem: link, code, pending: this.#pending },
        'the primary of the manifest cannot be worked with',
      );
  }

  #say(problem: string | undefined, code?: string): void {
    if (this.#problem === problem) return;
    this.#problem = problem;
    const { log } = this.#context;
    if (problem === undefined) log.info({}, 'the manifest is written again');
    else
      log.warn(
        { problem, code, pending: this.#pending },
        'the manifest cannot be written; changes wait',
      );
  }
}
