import { z } from 'zod';
import { duration, httpUrl } from '../values.ts';
import { componentName } from './component-schema.ts';
import type { ConfigSections, PeerListen } from './config.ts';
import { listenAddress } from './patterns.ts';

type Section<Key extends keyof ConfigSections> = z.ZodType<ConfigSections[Key], object | undefined>;

/** Where other nodes ask: an address, or one with TLS. */
export function peerListenSchema(): z.ZodType<PeerListen> {
  const file = (): z.ZodString => z.string().min(1);
  const withTls = z
    .strictObject({
      address: listenAddress(),
      tls: z.strictObject({ cert: file(), key: file(), ca: file().optional() }).optional(),
    })
    .transform(({ address, tls }): PeerListen => ({ ...address, tls }));
  return z.union([listenAddress(), withTls], {
    error: 'expected an address such as 127.0.0.1:8180, or { address, tls: { cert, key, ca } }',
  });
}

/** Who may ask, and who shares keys with this node. */
export function clusterSection(): Section<'cluster'> {
  return z
    .strictObject({
      tokens: z
        .array(z.strictObject({ name: componentName(), file: z.string().min(1) }))
        .default([]),
      token: z.strictObject({ file: z.string().min(1) }).optional(),
      nodes: z.array(httpUrl()).min(1).optional(),
      dns: listenAddress()
        .refine(({ port }) => port > 0, { error: 'expected a port from 1' })
        .optional(),
      ownerTimeout: duration().prefault('500ms'),
      primary: httpUrl().optional(),
      purgeWait: duration().prefault('5s'),
      catchUp: duration().prefault('30s'),
    })
    .transform(({ ownerTimeout, purgeWait, catchUp, ...rest }) => ({
      ...rest,
      ownerTimeoutMs: ownerTimeout,
      purgeWaitMs: purgeWait,
      catchUpMs: catchUp,
    }))
    .prefault({});
}
