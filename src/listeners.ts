import type { AddressInfo } from 'node:net';
import type { Clock } from './clock.ts';
import type { Config } from './config/config.ts';
import type { ListenAddress } from './config/patterns.ts';
import { connectionLimit } from './descriptor-limit.ts';
import { AccessLog } from './http/access-log.ts';
import type { Handler } from './http/app.ts';
import type { FastPath } from './http/fast-path.ts';
import { createServer, type HttpServer, type ServerTls } from './http/server.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';

/** What a node's listeners are made with. */
export interface ListenParts {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** Absent: plain HTTP. */
  readonly tls?: ServerTls | undefined;
}

/** A listener within the limits of the configuration; nothing is bound before `bindServer`. */
export function makeServer(
  parts: ListenParts,
  handler: Handler,
  fast?: FastPath['serve'] | undefined,
): HttpServer {
  const { config, log, metrics, clock, tls } = parts;
  const { headerBytes, fields, targetBytes, headerTimeMs, requestTimeMs, idleTimeMs, connections } =
    config.limits;
  return createServer({
    ...{ handler, fast, tls, log, metrics, clock },
    access: new AccessLog(log, config.log.access),
    limits: {
      headerBytes,
      headerFields: fields,
      targetBytes,
      headerTimeoutMs: headerTimeMs,
      requestTimeoutMs: requestTimeMs,
      idleTimeoutMs: idleTimeMs,
      connections: connectionLimit(connections),
    },
  });
}

/** Lets a server listen, says so in the log, and gives its URL. Throws what `HttpServer.listen` throws. */
export async function bindServer(
  server: HttpServer,
  address: ListenAddress,
  listener: string,
  log: Logger,
  scheme = 'http',
): Promise<string> {
  const bound = await server.listen(address);
  const url = `${scheme}://${hostOf(bound)}`;
  log.info({ listener, url }, 'listening');
  return url;
}

function hostOf({ address, family, port }: AddressInfo): string {
  return `${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
