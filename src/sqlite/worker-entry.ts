import { existsSync } from 'node:fs';

/** Where a worker's module lies: the `.ts` file in a checkout, the `.js` beside it once built. Takes `new URL('./x.ts', import.meta.url)`. */
export function workerEntry(source: URL): URL {
  return existsSync(source) ? source : new URL(source.href.replace(/\.ts$/, '.js'));
}
