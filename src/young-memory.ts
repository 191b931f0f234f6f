import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { readonly type: 'minor' }) => void;

/** Bytes of network buffers after which the young generation is collected. */
const COLLECT_EVERY = 8 * 1024 * 1024;

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

// The function is there only with a flag, which may be set while running but shows in new contexts alone.
function exposed(): Collect {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}
