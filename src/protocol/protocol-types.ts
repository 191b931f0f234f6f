import { z } from 'zod';
import { type ComponentType, componentType, type ServiceKey } from '../component.ts';
import { duration } from '../values.ts';
import { goProtocolType } from './go-protocol-type.ts';
import { HttpProtocol } from './http-protocol.ts';
import { HTTP_SETTINGS, type HttpSettings } from './http-settings.ts';
import type { Protocol } from './protocol.ts';
import type { Purger } from './purger.ts';
import { RULE_PARTS } from './rule.ts';

/** What makes stored answers go away. */
export const PURGER: ServiceKey<Purger> = { description: 'purger' };

const TARGET_ERROR = 'expected the name of a field such as CDN-Cache-Control';

/** `protocol: http`: a caching reverse proxy. */
export const httpProtocolType: ComponentType<unknown, Protocol> = componentType({
  kind: 'protocol',
  type: 'http',
  options: z
    .strictObject({
      setCookie: z.enum(['bypass', 'strip', 'store']).default(HTTP_SETTINGS.setCookie),
      targets: z
        .array(z.string().regex(/^[A-Za-z][A-Za-z0-9-]*-Cache-Control$/i, TARGET_ERROR))
        .default([...HTTP_SETTINGS.targets]),
      languageOrder: z.enum(['heed', 'ignore']).default(HTTP_SETTINGS.languageOrder),
      staleOnDisconnect: duration().prefault('0s'),
      statusKey: z.boolean().default(HTTP_SETTINGS.statusKey),
    })
    .transform(
      ({ staleOnDisconnect, ...settings }): HttpSettings => ({
        ...settings,
        staleOnDisconnectMs: staleOnDisconnect,
      }),
    ),
  create: (options, context) =>
    new HttpProtocol(context.service(RULE_PARTS), context.service(PURGER), context.log, options),
});

/** The protocols that come with caje. */
export function createProtocolTypes(): ComponentType<unknown, Protocol>[] {
  return [httpProtocolType, goProtocolType];
}
