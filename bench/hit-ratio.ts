import { LRUCache } from 'lru-cache';
import { ENTRY_BYTES } from '../src/storage/eviction.ts';
import { type Bench, numberOf, type Row, type Settings } from './support/bench.ts';
import { SieveStore, type SimulatedStore } from './support/sieve-store.ts';
import { driftingTrace, scannedTrace, type Trace } from './support/traces.ts';

/** Bytes of the store, as shares of the bytes of all objects of a trace. */
const SHARES = [0.01, 0.05, 0.1, 0.25];
const TARGET = 1;

interface Ratios {
  /** Percent of the requests, and of their bytes. */
  readonly objects: number;
  readonly bytes: number;
}

/** What eviction keeps, beside LRU. */
export const hitRatio: Bench = {
  name: 'hit-ratio',
  question:
    'Share of requests, and of their bytes, that a store with a quota answers: SIEVE behind the quota of the backends beside LRU, which may fill the quota to its end. Two generated traces, no bodies.',
  settings: { requests: '500000', seed: '1' },
  run,
};

async function run(settings: Settings): Promise<readonly Row[]> {
  const length = numberOf(settings, 'requests');
  const seed = numberOf(settings, 'seed');
  const rows: Row[] = [];
  for (const trace of [driftingTrace(seed, length), scannedTrace(seed, length)]) {
    for (const share of SHARES) rows.push(...(await compare(trace, share)));
  }
  return rows;
}

async function compare(trace: Trace, share: number): Promise<readonly Row[]> {
  const maxBytes = Math.round(share * footprint(trace));
  await using store = new SieveStore(maxBytes);
  const sieve = await replay(trace, store);
  const lru = await replay(trace, lruStore(maxBytes));
  const where = `${trace.name}, ${100 * share} % of ${Math.round(footprint(trace) / 1e6)} MB`;
  const row = (peer: string, what: keyof Ratios, ratios: Ratios): Row => ({
    peer,
    figure: `% of ${what}, ${where}`,
    rounds: [ratios[what]],
  });
  const compared = (what: keyof Ratios): Row['comparison'] => ({
    what: '× LRU',
    value: sieve[what] / lru[what],
    // Nothing is asked of the bytes: most are those of a few huge objects.
    ...(what === 'objects' && { target: { atLeast: TARGET } }),
  });
  return (['objects', 'bytes'] as const).flatMap((what) => [
    { ...row('SIEVE', what, sieve), comparison: compared(what) },
    row('LRU', what, lru),
  ]);
}

/** Bytes of all objects that are asked for, each once. */
function footprint({ requests, sizes }: Trace): number {
  return [...new Set(requests)].reduce((sum, object) => sum + (sizes[object] ?? 0), 0);
}

function lruStore(maxBytes: number): SimulatedStore {
  const kept = new LRUCache<number, number>({
    maxSize: maxBytes,
    sizeCalculation: (size) => size + ENTRY_BYTES,
  });
  return {
    ask: async (object, size) => {
      if (kept.get(object) !== undefined) return true;
      kept.set(object, size);
      return false;
    },
  };
}

async function replay({ requests, sizes }: Trace, store: SimulatedStore): Promise<Ratios> {
  let hits = 0;
  let hitBytes = 0;
  let bytes = 0;
  for (const object of requests) {
    const size = sizes[object] ?? 0;
    bytes += size;
    if (!(await store.ask(object, size))) continue;
    hits++;
    hitBytes += size;
  }
  return { objects: (100 * hits) / requests.length, bytes: (100 * hitBytes) / bytes };
}
