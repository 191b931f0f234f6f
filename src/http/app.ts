import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Middleware } from 'koa';
import Koa from 'koa';
import type { Clock } from '../clock.ts';
import { messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { ProtocolResponse } from '../protocol/protocol.ts';
import { answerError } from './answer-error.ts';
import { clientGone } from './client-gone.ts';
import { exchangeOf } from './exchange.ts';
import { interimSender } from './interim.ts';
import type { TrustCheck } from './public-address.ts';
import { publicAddress } from './public-address.ts';
import { requestIdOf } from './request-id.ts';
import { OWN_PREFIX } from './routes.ts';
import type { Rule, RuleSource } from './rule-router.ts';
import { sendResponse } from './send-response.ts';
import { toProtocolRequest } from './to-protocol-request.ts';

/** What every Koa application of the node is made of. */
export interface AppBase {
  readonly trusts: TrustCheck;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** What the public application is made of. */
export interface AppOptions extends AppBase {
  readonly router: RuleSource;
  /** From `ownRoutes`. */
  readonly routes: Middleware;
  readonly nodeId: string;
  readonly clock: Clock;
  /** Told of each answer before it is sent, so that a fast path can repeat it. */
  readonly noted?:
    | ((req: IncomingMessage, response: ProtocolResponse, rule: string) => void)
    | undefined;
}

/** What node:http calls for a request; never throws. */
export type Handler = (req: IncomingMessage, res: ServerResponse) => void;

/** The application of the public listener: own routes, then the rules. */
export function createApp(options: AppOptions): Handler {
  return createHandler(options, [options.routes, refuseOwnPaths, answerByRule(options)]);
}

/** A Koa application of these middlewares, with request ids before them and the one way out for errors around them. */
export function createHandler(base: AppBase, middlewares: readonly Middleware[]): Handler {
  const app = new Koa();
  // Koa reports what its own writing of small bodies meets; everything else is caught below.
  app.on('error', (error: unknown) =>
    base.log.debug({ error: messageOf(error) }, 'connection ended early'),
  );
  for (const middleware of [identify(base.trusts), catchErrors(base), ...middlewares])
    app.use(middleware);
  const callback = app.callback();
  return (req, res) => void callback(req, res);
}

function identify(trusts: TrustCheck): Middleware {
  return async (ctx, next) => {
    const given = ctx.req.headers['x-request-id'];
    exchangeOf(ctx.res).requestId = requestIdOf(
      given,
      given !== undefined && trusts(ctx.req.socket.remoteAddress),
    );
    await next();
  };
}

function catchErrors(base: AppBase): Middleware {
  return async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      ctx.respond = false;
      answerError(error, ctx.res, base, (ctx.state as { rule?: Rule }).rule?.errorFormat);
    }
  };
}

/** Nothing below the node's own prefix ever reaches a rule. */
const refuseOwnPaths: Middleware = async (ctx, next) => {
  if (ctx.path === OWN_PREFIX || ctx.path.startsWith(`${OWN_PREFIX}/`))
    throw new ProxyError('not-found', 'app.own-routes', 'this listener has no such route');
  await next();
};

function answerByRule({ router, trusts, nodeId, clock, metrics, noted }: AppOptions): Middleware {
  return async (ctx) => {
    const { req, res } = ctx;
    const rules = router.current;
    using _ = rules.leases.take();
    const address = publicAddress(req, trusts);
    const { rule, target } = rules.match(address.host, address.target);
    ctx.respond = false;
    (ctx.state as { rule?: Rule }).rule = rule;
    const exchange = exchangeOf(res);
    exchange.rule = rule.name;
    const trusted = trusts(req.socket.remoteAddress);
    const request = {
      ...toProtocolRequest(req, { address, target, trusted, nodeId }),
      interim: interimSender(res),
    };
    const signal = clientGone(res);
    const response = await rule.protocol.handle(request, { signal });
    exchange.phase = response.report.phase;
    metrics.count('requests_total', response.report.phase);
    // What former rules answered is not repeated for requests that go by others.
    if (rules === router.current) noted?.(req, response, rule.name);
    exchange.bytes = await sendResponse(response, res, { request, nodeId, clock, signal });
  };
}
