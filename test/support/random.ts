import { randomInt } from 'node:crypto';

const SEED_LIMIT = 2 ** 32;

let chosen: number | undefined;

/** The seed of this run, where any was chosen so far. */
export function seedInUse(): number | undefined {
  return chosen;
}

/** The seed of this run: what `CAJE_TEST_SEED` names, else a new one; 0 to 2³² − 1. Throws for anything else in the variable. */
export function chooseSeed(): number {
  chosen ??= readSeed() ?? randomInt(SEED_LIMIT);
  return chosen;
}

function readSeed(): number | undefined {
  const given = process.env['CAJE_TEST_SEED'];
  if (given === undefined || given === '') return undefined;
  const seed = Number(given);
  if (!Number.isInteger(seed) || seed < 0 || seed >= SEED_LIMIT) {
    throw new Error(`CAJE_TEST_SEED=${given}: expected a whole number from 0 to ${SEED_LIMIT - 1}`);
  }
  return seed;
}

/** Numbers that look random and are the same for the same seed (mulberry32). */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number = chooseSeed()) {
    this.seed = seed >>> 0;
    this.#state = this.seed;
  }

  /** 0 to 2³² − 1. */
  uint32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** 0 up to but not 1. */
  fraction(): number {
    return this.uint32() / SEED_LIMIT;
  }

  /** A whole number from `low` to `high`, both included. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.fraction() * (high - low + 1));
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** One of the list, which must not be empty. */
  pick<T>(list: readonly T[]): T {
    const index = this.integer(0, list.length - 1);
    if (index >= list.length || list.length === 0) throw new Error('nothing to pick from');
    return list[index] as T;
  }

  /** The list in another order; the list itself stays as it is. */
  shuffle<T>(list: readonly T[]): T[] {
    const mixed = [...list];
    for (let last = mixed.length - 1; last > 0; last--) {
      const other = this.integer(0, last);
      [mixed[last], mixed[other]] = [mixed[other] as T, mixed[last] as T];
    }
    return mixed;
  }

  /** That many bytes. */
  bytes(size: number): Buffer {
    const bytes = Buffer.allocUnsafe(size);
    for (let i = 0; i < size; i++) bytes[i] = this.uint32() & 0xff;
    return bytes;
  }

  /** A generator of its own, for work that runs beside others. */
  fork(): Random {
    return new Random(this.uint32());
  }
}
