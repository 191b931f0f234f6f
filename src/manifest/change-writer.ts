import { randomUUIDv7 } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { ChangeListeners } from './change-listeners.ts';
import type { Entry } from './entry.ts';
import { entryBytes } from './entry-index.ts';
import type { EntryMemory } from './entry-memory.ts';
import { pendingEntry, toRowValues } from './entry-row.ts';
import type { JournalFollower } from './journal-follower.ts';
import type { CommitResult, DeleteChange, Purge, PutChange } from './manifest.ts';
import type { ReadEntries } from './manifest-reader.ts';
import type { WriterClient } from './writer-client.ts';
import type { ChangeResponse, DeleteRequest, PurgeResponse } from './writer-protocol.ts';

/** Bytes of a delete in the queue, roughly. */
const DELETE_BYTES = 200;

/** What a change passes through. */
export interface ChangeWriterOptions {
  readonly memory: EntryMemory;
  readonly writer: WriterClient;
  readonly follower: JournalFollower;
  readonly listeners: ChangeListeners;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Every variant of a key as it counts now. */
  readonly lookup: (namespace: string, key: string) => readonly Entry[];
  /** An entry that was refreshed while it was pending has its number now. */
  readonly onNumbered: (entry: Entry) => void;
}

/** Takes changes into memory at once and to the writer thread, and takes back what is not written. */
export class ChangeWriter {
  readonly #options: ChangeWriterOptions;

  constructor(options: ChangeWriterOptions) {
    this.#options = options;
  }

  /** Resolves once the put is durable or known not to be written; it counts from the call on. */
  async put({ entry, changeId, baseJid, actor }: PutChange): Promise<CommitResult> {
    const { namespace, key } = entry;
    const { clock, metrics } = this.#options;
    this.#options.listeners.know(namespace);
    if (this.#options.memory.purges.refuses(entry, baseJid)) return { outcome: 'purged' };
    const bytes = entryBytes(entry);
    if (!this.#options.writer.hasRoom(bytes)) {
      metrics.count('changes_dropped_total');
      return { outcome: 'dropped' };
    }
    const at = clock.now();
    const put = this.#options.memory.put(
      pendingEntry(entry, at),
      changeId,
      baseJid,
      this.#options.lookup(namespace, key),
    );
    this.#options.listeners.tell(namespace, key);
    const values = toRowValues(entry, at);
    const response = await this.#options.writer.change({
      op: 'put',
      namespace,
      changeId,
      baseJid,
      actor,
      at,
      values,
      bytes,
    });
    if (response.outcome === 'committed') {
      const { memory, follower, listeners } = this.#options;
      const written = memory.written(put, response.jid, response.firstSeenAt);
      // Written before and only now known to be: a later change of the key may be in the database already.
      if (follower.position(namespace) > response.jid) {
        memory.index.delete(namespace, key);
        listeners.tell(namespace, key);
      }
      follower.advance(namespace, response.jid, response.jid);
      if (put.refreshed) this.#options.onNumbered(written);
      return put.purged ? { outcome: 'purged' } : { outcome: 'committed', jid: response.jid };
    }
    this.#options.memory.undone(put);
    this.#options.listeners.tell(namespace, key);
    return response.outcome === 'purged' ? { outcome: 'purged' } : this.#dropped(response);
  }

  /** Begins to remove the rows that failed their checksum when they were read. */
  removeBroken({ broken, namespace }: ReadEntries): void {
    const { metrics, log, clock } = this.#options;
    for (const { key, variant } of broken) {
      metrics.count('corrupt_rows_total');
      log.warn({ namespace, key }, 'a row of the manifest failed its checksum and is removed');
      void this.#delete({
        ...{ op: 'delete', namespace, key, variant, changeId: randomUUIDv7(), actor: 'checksum' },
        ...{ broken: true, at: clock.now(), bytes: DELETE_BYTES },
      });
    }
  }

  #dropped(response: ChangeResponse & { readonly outcome: 'dropped' }): CommitResult {
    this.#options.metrics.count('changes_dropped_total');
    return response;
  }

  /** Resolves like `put`. */
  async delete({ namespace, key, variant, changeId, actor }: DeleteChange): Promise<CommitResult> {
    return await this.#delete({
      ...{ op: 'delete', namespace, key, variant, changeId, actor },
      ...{ at: this.#options.clock.now(), bytes: DELETE_BYTES },
    });
  }

  async #delete(request: DeleteRequest): Promise<CommitResult> {
    const { namespace, key, variant, changeId } = request;
    const pending = this.#options.memory.delete(namespace, key, variant, changeId);
    this.#options.listeners.tell(namespace, key);
    const response = await this.#options.writer.change(request);
    this.#options.memory.pending.remove(namespace, key, pending);
    if (response.outcome === 'committed') {
      this.#options.follower.advance(namespace, response.jid, response.jid);
      return { outcome: 'committed', jid: response.jid };
    }
    this.#options.memory.index.delete(namespace, key);
    this.#options.listeners.tell(namespace, key);
    return response.outcome === 'dropped' ? this.#dropped(response) : response;
  }

  /** In force from the call on; resolves once it is durable. `changeId` absent: it gets one. Absent: the node stopped before. */
  async purge(purge: Purge, changeId: string = randomUUIDv7()): Promise<PurgeResponse | undefined> {
    const { clock } = this.#options;
    if (purge.namespace !== undefined) this.#options.listeners.know(purge.namespace);
    const namespaces = this.#options.listeners.namespaces();
    this.#options.memory.beginPurge(purge, clock.now());
    this.#options.listeners.tellPurge(purge);
    const request = { op: 'purge', changeId, purge, namespaces, at: clock.now() } as const;
    const response = await this.#options.writer.purge(request).catch((error: unknown) => {
      // Refused: what it hid counts again.
      this.#options.memory.endPurge(purge);
      throw error;
    });
    if (response === undefined) return undefined;
    for (const [namespace, jid] of Object.entries(response.jids)) {
      this.#options.memory.purges.note(namespace, purge, jid);
      this.#options.follower.advance(namespace, jid, response.last[namespace] ?? jid);
    }
    this.#options.memory.endPurge(purge);
    for (const namespace of Object.keys(response.jids)) {
      this.#options.listeners.tellPurge({ ...purge, namespace });
    }
    return response;
  }
}
