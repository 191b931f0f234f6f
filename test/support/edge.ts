import { Readable } from 'node:stream';
import { SystemClock } from '../../src/clock.ts';
import { HeaderList } from '../../src/headers.ts';
import type { AccessLog } from '../../src/http/access-log.ts';
import { createApp } from '../../src/http/app.ts';
import type { HttpLimits } from '../../src/http/http-limits.ts';
import { trustCheck } from '../../src/http/public-address.ts';
import { type HealthCheck, ownRoutes } from '../../src/http/routes.ts';
import { type Rule, RuleRouter } from '../../src/http/rule-router.ts';
import { createServer, type HttpServer, type HttpServerOptions } from '../../src/http/server.ts';
import { type Logger, silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import type {
  Content,
  Protocol,
  ProtocolRequest,
  ProtocolResponse,
} from '../../src/protocol/protocol.ts';

/** Name of the node that `startEdge` starts. */
export const EDGE_NODE = 'caje-00000000000000aa';

/** What a test edge is made of; all may be left out. */
export interface EdgeOptions {
  readonly rules?: readonly Rule[] | undefined;
  readonly trustedProxies?: readonly string[] | undefined;
  readonly limits?: Partial<HttpLimits> | undefined;
  readonly fast?: HttpServerOptions['fast'];
  readonly access?: AccessLog | undefined;
  readonly health?: readonly HealthCheck[] | undefined;
  readonly log?: Logger | undefined;
}

/** A listening edge over loopback. */
export interface Edge extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  readonly server: HttpServer;
  readonly metrics: Metrics;
}

/** Starts the real server and application in front of the rules given. */
export async function startEdge(options: EdgeOptions = {}): Promise<Edge> {
  const metrics = new Metrics();
  const clock = new SystemClock();
  const log = options.log ?? silentLogger;
  const draining = (): boolean => server.draining;
  const handler = createApp({
    router: new RuleRouter(options.rules ?? [rule(answering({}))]),
    routes: ownRoutes({ version: '1.2.3', health: options.health ?? [], draining }),
    trusts: trustCheck(options.trustedProxies ?? []),
    nodeId: EDGE_NODE,
    log,
    metrics,
    clock,
  });
  const { fast, limits, access } = options;
  const server: HttpServer = createServer({ handler, fast, limits, access, log, metrics, clock });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    server,
    metrics,
    [Symbol.asyncDispose]: async () => {
      const ended = server.close();
      await server.close();
      await ended;
    },
  };
}

/** A rule for everything, unless more is said. */
export function rule(protocol: Protocol, more: Partial<Rule> = {}): Rule {
  return { name: 'all', protocol, ...more };
}

/** A protocol that answers each request as `handle` says. */
export function protocolOf(handle: Protocol['handle']): Protocol {
  return { name: 'test', handle };
}

/** A protocol that gives the same answer to everything. */
export function answering(response: Partial<ProtocolResponse>): Protocol {
  return protocolOf(async () => respond(response));
}

/** A protocol that keeps what it was asked and reads the whole body before it answers. */
export function recording(asked: ProtocolRequest[]): Protocol {
  return protocolOf(async (request) => {
    asked.push(request);
    if (request.target !== '/unread') for await (const _ of request.body ?? []);
    return respond({ content: bytesContent('recorded') });
  });
}

/** A 200 hit without fields or body, unless more is said. */
export function respond(response: Partial<ProtocolResponse>): ProtocolResponse {
  return {
    status: 200,
    headers: HeaderList.empty,
    report: { phase: 'hit' },
    selectable: false,
    ...response,
  };
}

/** Stored bytes that can be opened in parts. */
export function bytesContent(text: string | Buffer, more: Partial<Content> = {}): Content {
  const bytes = Buffer.from(text);
  return {
    size: bytes.length,
    seekable: true,
    open: ({ range } = {}) =>
      Readable.from([range === undefined ? bytes : bytes.subarray(range.start, range.end + 1)], {
        objectMode: false,
      }),
    close: () => {},
    ...more,
  };
}

/** A body that is read from where `open` says, once. */
export function streamContent(open: () => Readable, more: Partial<Content> = {}): Content {
  return { seekable: false, open, close: () => {}, ...more };
}
