import { z } from 'zod';
import { percentage, size } from '../values.ts';
import type { QuotaLimits } from './quota.ts';

/** Options of a backend that say how much it may hold. */
export interface QuotaKeys {
  readonly maxBytes?: number | undefined;
  readonly maxEntries?: number | undefined;
  readonly highWater: number;
  readonly lowWater: number;
}

/** Keys of a backend's options that say how much it may hold; to be checked with `watersAreInOrder`. */
export function quotaKeys(): { readonly [Key in keyof QuotaKeys]-?: z.ZodType<QuotaKeys[Key]> } {
  return {
    maxBytes: size()
      .optional()
      .describe('most bytes, with 512 for each body; absent: nothing is evicted for its bytes'),
    maxEntries: z
      .int()
      .min(1)
      .optional()
      .describe('most bodies; absent: nothing is evicted for their number'),
    highWater: percentage().prefault('95%').describe('share of both from which bodies are evicted'),
    lowWater: percentage().prefault('90%').describe('share of both down to which they are'),
  };
}

/** For `refine`: eviction has to end below where it begins. */
export const WATERS_IN_ORDER: { readonly path: PropertyKey[]; readonly message: string } = {
  path: ['lowWater'],
  message: 'lowWater must be less than highWater',
};

/** Whether eviction ends below where it begins. */
export function watersAreInOrder({ highWater, lowWater }: QuotaKeys): boolean {
  return lowWater < highWater;
}

/** The limits. Absent: there are none, and nothing is evicted. */
export function limitsOf(keys: QuotaKeys): QuotaLimits | undefined {
  const { maxBytes, maxEntries, highWater, lowWater } = keys;
  if (maxBytes === undefined && maxEntries === undefined) return undefined;
  return { maxBytes, maxEntries, highWater, lowWater };
}
