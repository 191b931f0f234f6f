import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import { codeOf, ProxyError } from '../errors.ts';
import { duration, size, type ValueSchema } from '../values.ts';
import { type HttpLimits, MAX_SOCKETS } from './http-client.ts';

type OptionalDuration = z.ZodOptional<ValueSchema<number, string | number>>;

/** Time limits of a fetcher over HTTP, in milliseconds once parsed. Absent: the default. */
export const timeoutFields: {
  connect: OptionalDuration;
  firstByte: OptionalDuration;
  idle: OptionalDuration;
} = {
  connect: duration().optional().describe('until a connection stands; 5s'),
  firstByte: duration().optional().describe("until the answer's head is there; 30s"),
  idle: duration().optional().describe('that a body may stand still; 30s'),
};

/** Options that every fetcher over HTTP takes. */
export const httpOptions: z.ZodObject<
  {
    ca: z.ZodOptional<z.ZodString>;
    maxSockets: z.ZodDefault<z.ZodInt>;
    concurrent: z.ZodOptional<z.ZodInt>;
    timeouts: z.ZodOptional<z.ZodObject<typeof timeoutFields, z.core.$strict>>;
    minRate: z.ZodOptional<ValueSchema<number, string | number>>;
  },
  z.core.$strict
> = z.strictObject({
  ca: z.string().min(1).optional().describe('PEM file of the authorities trusted for this host'),
  maxSockets: z.int().min(1).max(10_000).default(MAX_SOCKETS).describe('connections at once'),
  concurrent: z.int().min(1).optional().describe('fetches at once; absent: maxSockets'),
  timeouts: z.strictObject(timeoutFields).optional(),
  minRate: size().optional().describe('bytes per second over a minute; 0: no limit; 1KiB'),
});

/** Options of a fetcher over HTTP, parsed. */
export type HttpFetcherOptions = z.output<typeof httpOptions>;

/** The limits that the options change. */
export function limitsOf({ timeouts, minRate }: HttpFetcherOptions): Partial<HttpLimits> {
  return {
    ...(timeouts?.connect !== undefined && { connectMs: timeouts.connect }),
    ...(timeouts?.firstByte !== undefined && { firstByteMs: timeouts.firstByte }),
    ...(timeouts?.idle !== undefined && { bodyIdleMs: timeouts.idle }),
    ...(minRate !== undefined && { minRate }),
  };
}

/** PEM text of the file that `ca` names. Throws `invalid` naming the file when it cannot be used. */
export async function readCa(ca: string | undefined, baseDir: string): Promise<string | undefined> {
  return ca === undefined ? undefined : await readPem('ca', ca, baseDir);
}

/** PEM text of a file with a certificate (`ca`, `cert`) or a private key. Throws `invalid` naming the file when it cannot be used. */
export async function readPem(
  what: 'ca' | 'cert' | 'key',
  file: string,
  baseDir: string,
): Promise<string> {
  const path = resolve(baseDir, file);
  const op = 'fetcher-options.readPem';
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    const why = codeOf(cause) ?? 'unknown error';
    throw new ProxyError('invalid', op, `cannot read ${what} ${path}: ${why}`, { cause });
  }
  const label = what === 'key' ? 'PRIVATE KEY-----' : '-----BEGIN CERTIFICATE-----';
  if (text.includes(label)) return text;
  const wanted = what === 'key' ? 'private key' : 'certificate';
  throw new ProxyError('invalid', op, `no PEM ${wanted} in ${what} ${path}`);
}
