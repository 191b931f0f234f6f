import type { z } from 'zod';
import { ProxyError } from './errors.ts';

/** What a command was given, checked; nothing at all counts as `{}`. Throws `invalid`, naming the key that is wrong. */
export function parseInput<T>(schema: z.ZodType<T>, input: unknown): T {
  const parsed = schema.safeParse(input ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue?.path.join('.') ?? '';
  throw new ProxyError(
    'invalid',
    'operator-input.parse',
    `${place === '' ? '' : `${place}: `}${issue?.message ?? 'malformed input'}`,
  );
}
