import { createHash, type Hash } from 'node:crypto';
import { readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { yieldToOthers } from '../thread-priority.ts';
import type { FromDigestThread, ToDigestThread } from './digest-messages.ts';

/** Read and hashed at a time: less than the processor's own memory, used again and again. */
const PIECE_BYTES = 128 * 1024;

interface Growing {
  readonly file: number;
  readonly hash: Hash;
  position: number;
}

const growing = new Map<number, Growing>();
const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);

yieldToOthers();
parentPort?.on('message', (message: ToDigestThread) => {
  const { id, file, size, end } = message;
  if (file !== undefined) growing.set(id, { file, hash: createHash('sha256'), position: 0 });
  const one = growing.get(id);
  if (one === undefined) return;
  const problem = end === 'aborted' ? 'nobody wants it' : problemOf(one, size);
  if (end === undefined && problem === undefined) return;
  growing.delete(id);
  say(problem === undefined ? { id, digest: one.hash.digest('hex') } : { id, problem });
});

function problemOf(one: Growing, size: number): string | undefined {
  try {
    while (one.position < size) {
      const length = Math.min(PIECE_BYTES, size - one.position);
      const read = readSync(one.file, piece, 0, length, one.position);
      if (read === 0) return 'the file is shorter than what was written';
      one.hash.update(piece.subarray(0, read));
      one.position += read;
    }
    return undefined;
  } catch (error) {
    return String(error);
  }
}

function say(message: FromDigestThread): void {
  parentPort?.postMessage(message);
}
