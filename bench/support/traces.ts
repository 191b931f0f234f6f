import { Random } from '../../test/support/random.ts';

/** Requests for objects, in their order. */
export interface Trace {
  readonly name: string;
  /** Bytes, by object. */
  readonly sizes: readonly number[];
  /** Objects asked for. */
  readonly requests: readonly number[];
}

const KB = 1000;
const MB = 1000 * KB;

/**
 * Popularity after Zipf's law that drifts, and a quarter of the requests for objects that nobody asks for twice: what a
 * node in front of a site sees through a day.
 */
export function driftingTrace(seed: number, length: number): Trace {
  const random = new Random(seed);
  const catalogue = Math.ceil(length / 5);
  const sizes = Array.from({ length: catalogue }, () => logNormal(random, 10 * KB, 1.6));
  const ranks = random.shuffle(sizes.map((_, object) => object));
  const pick = zipf(random, catalogue, 0.9);
  const requests: number[] = [];
  while (requests.length < length) {
    // One of the thousand most asked for loses its place to another every 200 requests.
    if (requests.length % 200 === 0) {
      const high = random.integer(0, 999);
      const other = random.integer(0, catalogue - 1);
      [ranks[high], ranks[other]] = [ranks[other] as number, ranks[high] as number];
    }
    if (random.chance(0.25)) requests.push(sizes.push(logNormal(random, 10 * KB, 1.6)) - 1);
    else requests.push(ranks[pick()] as number);
  }
  return { name: 'drifting', sizes, requests };
}

/**
 * Pages, images and few large downloads, asked for after Zipf's law, and now and then somebody who takes a tenth of
 * everything in its order: a crawler, a mirror, a backup.
 */
export function scannedTrace(seed: number, length: number): Trace {
  const random = new Random(seed);
  const catalogue = Math.ceil(length / 10);
  const sizes = Array.from({ length: catalogue }, () => {
    const kind = random.fraction();
    if (kind < 0.6) return logNormal(random, 8 * KB, 1.2);
    return kind < 0.99 ? logNormal(random, 60 * KB, 1) : pareto(random, MB, 1.1, 200 * MB);
  });
  const ranks = random.shuffle(sizes.map((_, object) => object));
  const pick = zipf(random, catalogue, 0.8);
  const requests: number[] = [];
  while (requests.length < length) {
    for (let asked = 0; asked < catalogue / 2; asked++) requests.push(ranks[pick()] as number);
    const from = random.integer(0, catalogue - 1);
    for (let at = from; at < from + catalogue / 10; at++) requests.push(at % catalogue);
  }
  return { name: 'scanned', sizes, requests: requests.slice(0, length) };
}

/** Picks ranks from 0, each with a probability of 1 / (rank + 1) ** skew. */
function zipf(random: Random, count: number, skew: number): () => number {
  const sums = new Float64Array(count);
  let sum = 0;
  for (let rank = 0; rank < count; rank++) {
    sum += 1 / (rank + 1) ** skew;
    sums[rank] = sum;
  }
  return () => {
    const wanted = random.fraction() * sum;
    let low = 0;
    for (let high = count - 1; low < high; ) {
      const middle = (low + high) >> 1;
      if ((sums[middle] as number) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

function logNormal(random: Random, median: number, sigma: number): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random.fraction()));
  const normal = radius * Math.cos(2 * Math.PI * random.fraction());
  return Math.max(1, Math.round(median * Math.exp(sigma * normal)));
}

function pareto(random: Random, least: number, shape: number, most: number): number {
  return Math.round(Math.min(most, least / (1 - random.fraction()) ** (1 / shape)));
}
