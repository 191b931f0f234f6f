import { z } from 'zod';
import { type ComponentType, componentType, type ServiceKey } from '../component.ts';
import { goProtocolType } from './go-protocol-type.ts';
import { HttpProtocol } from './http-protocol.ts';
import type { Protocol } from './protocol.ts';
import type { Purger } from './purger.ts';
import { RULE_PARTS } from './rule.ts';

/** What makes stored answers go away. */
export const PURGER: ServiceKey<Purger> = { description: 'purger' };

/** `protocol: http`: a caching reverse proxy. */
export const httpProtocolType: ComponentType<unknown, Protocol> = componentType({
  kind: 'protocol',
  type: 'http',
  options: z.strictObject({}),
  create: (_options, context) =>
    new HttpProtocol(context.service(RULE_PARTS), context.service(PURGER), context.log),
});

/** The protocols that come with caje. */
export function createProtocolTypes(): ComponentType<unknown, Protocol>[] {
  return [httpProtocolType, goProtocolType];
}
