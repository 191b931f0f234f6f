import { z } from 'zod';
import { type ComponentType, componentType, type ServiceKey } from './component.ts';
import type { Fetcher } from './fetchers/fetcher.ts';
import { OriginFetcher } from './fetchers/origin-fetcher.ts';

/** Starts the built-in slow server when something wants it; gives its address. */
export type StartDemo = () => Promise<URL>;

/** The built-in slow server, for the built-in configuration. */
export const START_DEMO: ServiceKey<StartDemo> = { description: 'built-in slow server' };

/** `type: slow-server`: the demo site's origin, started beside the node on a free port. */
export const demoFetcherType: ComponentType<unknown, Fetcher & AsyncDisposable> = componentType({
  kind: 'fetcher',
  type: 'slow-server',
  options: z.strictObject({}),
  async create(_options, context) {
    const url = await context.service(START_DEMO)();
    return new OriginFetcher({
      name: context.name,
      url,
      clock: context.clock,
      metrics: context.metrics,
    });
  },
});
