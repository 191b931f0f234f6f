import { workerData } from 'node:worker_threads';
import { openDatabase, type SqliteDatabase } from '../sqlite/open-database.ts';
import { serveWriter, type WriterResult } from '../sqlite/serve-writer.ts';
import type {
  BlobDrop,
  BlobPut,
  BlobsPassed,
  BlobsUsed,
  NodeWrite,
} from './node-database-schema.ts';

/** What the writer thread of the node-local database is started with. */
export interface NodeWriterData {
  readonly path: string;
}

/** Other folders write to the same file from threads of their own; waiting here stops nobody's event loop. */
const BUSY_TIMEOUT_MS = 5000;

/**
 * Makes the function that runs one batch of writes as one transaction, all or nothing. It is on disk when the function returns,
 * with all that was written before, unless each write of the batch is relaxed: the strictest one counts.
 */
export function createNodeWriter(
  database: SqliteDatabase,
): (batch: readonly NodeWrite[]) => WriterResult<boolean>[] {
  const find = database
    .prepare<[string, Buffer], number>('SELECT place FROM blobs WHERE backend = ? AND digest = ?')
    .pluck();
  const addBody = database.prepare('INSERT INTO small_bodies (body) VALUES (?)');
  const changeBody = database.prepare('UPDATE small_bodies SET body = ? WHERE id = ?');
  const dropBody = database.prepare('DELETE FROM small_bodies WHERE id = ?');
  const putRow = database.prepare(
    `INSERT INTO blobs (backend, digest, size, blocks, place, modified_at, last_used) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (backend, digest) DO UPDATE SET size = excluded.size, blocks = excluded.blocks, place = excluded.place,
       modified_at = excluded.modified_at, last_used = excluded.last_used, visited = 0`,
  );
  const dropRow = database
    .prepare<[string, Buffer, number | null, number], number>(
      `DELETE FROM blobs WHERE backend = ? AND digest = ? AND modified_at = ifnull(?, modified_at) AND visited <= ?
       RETURNING place`,
    )
    .pluck();
  const useRow = database.prepare(
    'UPDATE blobs SET last_used = ?, visited = 1 WHERE backend = ? AND digest = ?',
  );
  const passRow = database.prepare('UPDATE blobs SET visited = 0 WHERE backend = ? AND digest = ?');
  const moveHand = database.prepare(
    'UPDATE blob_stores SET hand_at = ?, hand_digest = ? WHERE backend = ?',
  );

  const placeBody = (body: Uint8Array | null, found: number): number => {
    if (body === null) {
      if (found > 0) dropBody.run(found);
      return 0;
    }
    // The row may name a body that is gone; then it gets a new one.
    if (found > 0 && changeBody.run(body, found).changes > 0) return found;
    return Number(addBody.run(body).lastInsertRowid);
  };
  const placeOf = (write: BlobPut, found: number | undefined): number => {
    if (write.isForeign) return found ?? -1;
    return placeBody(write.body, found ?? 0);
  };
  const put = (write: BlobPut): boolean => {
    const digest = Buffer.from(write.digest, 'hex');
    const place = placeOf(write, find.get(write.backend, digest));
    const { backend, size, blocks, modifiedAt } = write;
    putRow.run(backend, digest, size, blocks, place, modifiedAt, modifiedAt);
    return true;
  };
  const drop = (write: BlobDrop): boolean => {
    const digest = Buffer.from(write.digest, 'hex');
    const { backend, ifModifiedAt = null, ifUnused } = write;
    const place = dropRow.get(backend, digest, ifModifiedAt, ifUnused ? 0 : 1);
    if (place === undefined) return false;
    if (place > 0) dropBody.run(place);
    return true;
  };
  const use = (write: BlobsUsed): boolean => {
    for (const digest of write.digests)
      useRow.run(write.at, write.backend, Buffer.from(digest, 'hex'));
    return true;
  };
  const pass = (write: BlobsPassed): boolean => {
    for (const digest of write.digests) passRow.run(write.backend, Buffer.from(digest, 'hex'));
    const hand = Buffer.from(write.digest, 'hex');
    return moveHand.run(write.modifiedAt, hand, write.backend).changes > 0;
  };
  const run = (write: NodeWrite): boolean => {
    if (write.op === 'put') return put(write);
    if (write.op === 'drop') return drop(write);
    return write.op === 'used' ? use(write) : pass(write);
  };
  const all = database.transaction((batch: readonly NodeWrite[]) =>
    batch.map((write) => ({ value: run(write) })),
  );
  let isSynced: boolean | undefined;
  return (batch) => {
    const sync = !batch.every(({ isRelaxed }) => isRelaxed);
    // In WAL mode NORMAL loses the last commits with the power, but the log and the file still fit together.
    if (sync !== isSynced) database.pragma(`synchronous = ${sync ? 'FULL' : 'NORMAL'}`);
    isSynced = sync;
    return all.immediate(batch);
  };
}

// Loaded by a test in its own thread, the module only offers the function.
if ((workerData as Partial<NodeWriterData> | null)?.path !== undefined) {
  const { path } = workerData as NodeWriterData;
  const database = openDatabase(path, { busyTimeoutMs: BUSY_TIMEOUT_MS });
  serveWriter(createNodeWriter(database), () => database.close());
}
