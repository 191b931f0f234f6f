import type { Body } from '../body.ts';

// Reading this much costs less than a new connection; more does not.
const DRAIN_BYTES = 64 * 1024;
const DRAIN_MS = 1_000;

/**
 * Lets go of a body that nobody wants. The rest of a short one is read so that its connection can serve again;
 * what is longer or late is destroyed.
 */
export function discard(body: Body): void {
  if (body.destroyed) return;
  let read = 0;
  const stop = setTimeout(() => body.destroy(), DRAIN_MS);
  stop.unref();
  body.once('close', () => clearTimeout(stop));
  body.once('error', () => {});
  body.on('data', (chunk: Buffer) => {
    read += chunk.length;
    if (read > DRAIN_BYTES) body.destroy();
  });
}
