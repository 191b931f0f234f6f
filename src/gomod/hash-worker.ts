import { parentPort } from 'node:worker_threads';
import { ProxyError } from '../errors.ts';
import { yieldToOthers } from '../thread-priority.ts';
import { passedThrough } from '../young-memory.ts';
import type { FromHashThread, ToHashThread } from './hash-messages.ts';
import { ZipInspection } from './zip-inspection.ts';

/** One body under way. */
interface Session {
  readonly inspection: ZipInspection;
  /** Settles when all that came before is done. */
  work: Promise<void>;
}

if (parentPort === null)
  throw new ProxyError('internal', 'hash-worker.port', 'this module runs in a worker thread only');

const port = parentPort;
yieldToOthers();

const sessions = new Map<number, Session>();

port.on('message', (message: ToHashThread) => {
  const { id, of } = message;
  if (of !== undefined)
    sessions.set(id, { inspection: new ZipInspection(of), work: Promise.resolve() });
  const session = sessions.get(id);
  if (session === undefined) return;
  if (message.end === 'aborted') {
    sessions.delete(id);
    session.inspection.abort();
    return;
  }
  session.work = session.work.then(() => handle(session.inspection, message));
});

async function handle(inspection: ZipInspection, message: ToHashThread): Promise<void> {
  const { id, piece } = message;
  const taken = piece?.length ?? 0;
  if (piece !== undefined) {
    await inspection.write(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
    passedThrough(taken);
  }
  const findings = message.end === 'whole' ? await inspection.end() : undefined;
  if (findings !== undefined) sessions.delete(id);
  if (findings !== undefined || sessions.has(id)) say({ id, taken, findings });
}

function say(message: FromHashThread): void {
  port.postMessage(message);
}
