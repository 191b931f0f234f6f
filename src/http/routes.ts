import Router from '@koa/router';
import type { Middleware } from 'koa';
import type { Health } from '../storage/backend.ts';

/** Everything of the node's own lies below this path, on every listener. */
export const OWN_PREFIX = '/_caje';

/** A part of the node whose state decides whether it is ready. */
export interface HealthCheck {
  /** As shown in readyz: `storage local`, `manifest`. */
  readonly name: string;
  /** Never throws, takes at most a second. */
  health(): Promise<Health>;
}

/** What the routes every listener has are made of. */
export interface RoutesOptions {
  readonly version: string;
  readonly health: readonly HealthCheck[];
  /** True: the node is stopping, so it is not ready whatever its parts say. */
  draining(): boolean;
}

/** `healthz` (200 while the process runs), `readyz` (503 with reasons) and `version`. */
export function ownRoutes({ version, health, draining }: RoutesOptions): Middleware {
  const router = new Router({ prefix: OWN_PREFIX });
  router.get('/healthz', (ctx) => {
    ctx.body = { status: 'ok' };
  });
  router.get('/readyz', async (ctx) => {
    const reasons = draining() ? [{ name: 'node', problem: 'stopping' }] : await problemsOf(health);
    ctx.status = reasons.length === 0 ? 200 : 503;
    ctx.body = { status: reasons.length === 0 ? 'ready' : 'not ready', reasons };
  });
  router.get('/version', (ctx) => {
    ctx.body = { name: 'caje', version };
  });
  return router.routes() as unknown as Middleware;
}

async function problemsOf(
  checks: readonly HealthCheck[],
): Promise<{ name: string; problem: string }[]> {
  const states = await Promise.all(
    checks.map(async (check) => ({ name: check.name, ...(await check.health()) })),
  );
  return states.flatMap(({ name, problem }) => (problem === undefined ? [] : [{ name, problem }]));
}
