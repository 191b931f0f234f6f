import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { readonly type: 'minor' }) => void;

/** Bytes of network buffers after which the young generation is collected. */
const COLLECT_EVERY = 8 * 1024 * 1024;
/** Bytes of one buffer of `takeReadBuffer`, which is what one read may bring. */
export const READ_BYTES: number = 256 * 1024;
/** Bytes that wait for their next use, at most. */
const MAX_FREE = 8 * 1024 * 1024;

const free: ArrayBuffer[] = [];
/** Bytes of each buffer that nobody gave back yet. */
const owed = new WeakMap<ArrayBufferLike, number>();
let passed = 0;
let collect: Collect | undefined;

/**
 * Notes that this many bytes of fresh buffers passed through. A buffer's memory lies outside V8's heap, which a stream of large
 * bodies hardly fills: left alone, V8 collects only after 64 MiB of dead buffers, and what lived through two collections waits
 * for a third of another kind. A collection of the young generation every 8 MiB costs under a millisecond and bounds both.
 */
export function passedThrough(bytes: number): void {
  passed += bytes;
  if (passed < COLLECT_EVERY) return;
  passed = 0;
  collect ??= exposed();
  collect({ type: 'minor' });
}

/**
 * Memory for what comes from the network, `READ_BYTES` with any content. Each byte of it belongs to whoever gets it, once: when all of
 * them were given back it is used again. Fresh memory for every read would have V8 mark its whole heap again and again.
 */
export function takeReadBuffer(): Buffer {
  let memory = free.pop();
  if (memory === undefined) {
    memory = Buffer.allocUnsafeSlow(READ_BYTES).buffer as ArrayBuffer;
    passedThrough(READ_BYTES);
  }
  owed.set(memory, READ_BYTES);
  return Buffer.from(memory);
}

/** Whether these bytes are of such a buffer. */
export function isReadBuffer(bytes: Buffer): boolean {
  return owed.has(bytes.buffer);
}

/**
 * Says that nobody needs these bytes any longer, and nobody else will say so of the same. Never needed: a buffer whose bytes are not
 * all given back is forgotten. Does nothing for bytes from elsewhere.
 */
export function giveBack(bytes: Buffer): void {
  const left = owed.get(bytes.buffer);
  if (left === undefined) return;
  owed.set(bytes.buffer, left - bytes.length);
  if (left > bytes.length) return;
  owed.delete(bytes.buffer);
  if (free.length * READ_BYTES < MAX_FREE) free.push(bytes.buffer as ArrayBuffer);
}

// The function is there only with a flag, which may be set while running but shows in new contexts alone.
function exposed(): Collect {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}
