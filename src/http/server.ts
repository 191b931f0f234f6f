import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createNodeServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { Server as NetServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { codeOf, messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { AccessLog } from './access-log.ts';
import { ConnectionTracker } from './connection-tracker.ts';
import { exchangeOf } from './exchange.ts';
import type { HttpLimits } from './http-limits.ts';
import { DEFAULT_HTTP_LIMITS } from './http-limits.ts';
import { sendProblem } from './problem.ts';
import { rawProblem, refusalOfParser } from './raw-refusal.ts';
import type { Refusal } from './request-check.ts';
import { checkRequest, problemOfRefusal } from './request-check.ts';
import { newRequestId } from './request-id.ts';
import { plainAddress } from './to-protocol-request.ts';

/** How often overdue connections are looked for, in milliseconds. */
const CHECK_INTERVAL_MS = 1000;
/** Connections above the limit that still get an answer instead of a closed door. */
const SPARE_CONNECTIONS = 64;

/** What a listener is made of. */
export interface HttpServerOptions {
  /** Answers every request that passed the checks, but for what `fast` took. Must not throw. */
  readonly handler: (req: IncomingMessage, res: ServerResponse) => void;
  /** Tried first for GET and HEAD; true: it has answered, or will. Absent: there is none. */
  readonly fast?: ((req: IncomingMessage, res: ServerResponse) => boolean) | undefined;
  readonly limits?: Partial<HttpLimits> | undefined;
  /** Absent: plain HTTP. */
  readonly tls?: ServerTls | undefined;
  /** Absent: no line per request. */
  readonly access?: AccessLog | undefined;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

/** PEM texts that a listener speaks TLS with. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  /** Authorities one of which must have signed the certificate of each client. Absent: clients show none. */
  readonly ca?: string | undefined;
}

/** How a listener stops, in milliseconds. */
export interface DrainOptions {
  /** Goes on accepting so long while `draining` is already true, for balancers to notice. */
  readonly notReadyMs?: number | undefined;
  /** Answers on their way get so long, then they are cut. */
  readonly graceMs?: number | undefined;
}

/** A listener: strict about what it takes, and able to stop without losing an answer. */
export interface HttpServer {
  /** Resolves when it accepts. Throws `unavailable` for a taken port, `invalid` for an address that is not ours, saying so. */
  listen(address: { readonly host: string; readonly port: number }): Promise<AddressInfo>;
  /** True from the moment `close` is called. */
  readonly draining: boolean;
  /** Connections that are open now. */
  readonly connections: number;
  /** Ends at once when nothing is on its way; a second call cuts what is left. Resolves with the number of answers cut. */
  close(options?: DrainOptions): Promise<number>;
}

/** Makes a listener over node:http; nothing is bound before `listen`. */
export function createServer(options: HttpServerOptions): HttpServer {
  const { handler, fast, access, log, metrics, clock, tls } = options;
  const limits: HttpLimits = { ...DEFAULT_HTTP_LIMITS, ...options.limits };
  const settings = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: Math.min(limits.headerTimeoutMs, limits.requestTimeoutMs),
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.idleTimeoutMs,
    connectionsCheckingInterval: Math.min(CHECK_INTERVAL_MS, Math.ceil(limits.headerTimeoutMs / 4)),
    insecureHTTPParser: false,
    // Checked here: node:http would answer 400 but still run what is pipelined behind.
    requireHostHeader: false,
    noDelay: true,
  };
  const server = tls
    ? createTlsServer({
        ...settings,
        ...tls,
        handshakeTimeout: limits.headerTimeoutMs,
        requestCert: tls.ca !== undefined,
        rejectUnauthorized: tls.ca !== undefined,
      })
    : createNodeServer(settings);
  // 0: no limit there, since it would drop fields without a word; the check counts them.
  server.maxHeadersCount = 0;
  server.maxConnections = limits.connections + SPARE_CONNECTIONS;
  const tracker = new ConnectionTracker(server, tls ? 'secureConnection' : 'connection');

  const begin = (req: IncomingMessage, res: ServerResponse): boolean => {
    const connection = tracker.begin(req, res);
    if (connection === undefined) {
      req.resume();
      return false;
    }
    const startedAt = access === undefined ? 0 : clock.monotonic();
    const remote = access === undefined ? undefined : plainAddress(req.socket.remoteAddress);
    res.on('close', () => {
      if (!res.writableFinished) metrics.count('clients_gone_total');
      access?.record(req, res, clock.monotonic() - startedAt, remote);
      tracker.end(connection, res);
    });
    return true;
  };

  const refuse = (req: IncomingMessage, res: ServerResponse, refusal: Refusal): void => {
    metrics.count('requests_refused_total', refusal.reason);
    const exchange = exchangeOf(res);
    exchange.requestId = newRequestId();
    exchange.error = new ProxyError('invalid', `server.refuse.${refusal.reason}`, refusal.detail);
    tracker.doom(req.socket, res);
    exchange.bytes = sendProblem(res, problemOfRefusal(refusal), exchange.requestId);
  };

  const answeredFast = (req: IncomingMessage, res: ServerResponse): boolean => {
    try {
      return fast?.(req, res) === true;
    } catch (error) {
      log.error({ detail: messageOf(error) }, 'the fast path failed');
      if (res.headersSent) res.destroy();
      return res.headersSent;
    }
  };

  const answer = (req: IncomingMessage, res: ServerResponse, continues: boolean): void => {
    if (!begin(req, res)) return;
    const refusal = checkRequest(req, limits) ?? tooMany(tracker.size, limits.connections);
    if (refusal !== undefined) {
      refuse(req, res, refusal);
      return;
    }
    if (continues) res.writeContinue();
    if ((req.method === 'GET' || req.method === 'HEAD') && answeredFast(req, res)) return;
    handler(req, res);
  };

  server.on('request', (req, res) => answer(req, res, false));
  server.on('checkContinue', (req, res) => answer(req, res, true));
  server.on('checkExpectation', (req, res) => {
    if (begin(req, res))
      refuse(req, res, {
        reason: 'expectation',
        detail: 'The only expectation met here is 100-continue.',
      });
  });
  server.on('connect', (_req, stream) => {
    metrics.count('requests_refused_total', 'method');
    tracker.finish(
      stream as Socket,
      rawProblem({ reason: 'method', detail: 'CONNECT is not offered.' }),
    );
  });
  server.on('clientError', (error: NodeJS.ErrnoException & { rawPacket?: Buffer }, stream) => {
    const socket = stream as Socket;
    // The answer that ends this connection is on its way: what is behind it is not read any more.
    if (!socket.destroyed && !tracker.takes(socket)) return;
    const refusal = refusalOfParser(error, limits);
    if (refusal === undefined || socket.destroyed) {
      socket.destroy();
      return;
    }
    metrics.count('requests_refused_total', refusal.reason);
    log.info(
      { reason: refusal.reason, code: error.code, remote: plainAddress(socket.remoteAddress) },
      'request refused',
    );
    tracker.finish(socket, rawProblem(refusal));
  });
  server.on('tlsClientError', (error: NodeJS.ErrnoException, stream: Socket) => {
    metrics.count('requests_refused_total', 'tls');
    log.info({ code: error.code, remote: plainAddress(stream.remoteAddress) }, 'TLS failed');
  });
  server.on('drop', () => metrics.count('requests_refused_total', 'connections'));

  let closing: Promise<number> | undefined;
  let cutCount = 0;
  const ended = new AbortController();

  const close = async ({ notReadyMs = 0, graceMs = 30_000 }: DrainOptions): Promise<number> => {
    tracker.drain();
    if (notReadyMs > 0 && server.listening) await pause(notReadyMs, ended.signal);
    // Not node:http's own close: it cuts answers that are ended but not flushed.
    const accepting = server.listening ? stopAccepting() : undefined;
    tracker.cutIdle();
    const finished = tracker.empty();
    const graceOver = new AbortController();
    const grace = pause(graceMs, AbortSignal.any([ended.signal, graceOver.signal])).then(() => {
      cutCount += tracker.cutAll();
    });
    await finished;
    graceOver.abort();
    await Promise.all([grace, accepting]);
    return cutCount;
  };
  const stopAccepting = async (): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    NetServer.prototype.close.call(server, () => resolve());
    await promise;
    // Stops the timer that looks for overdue connections; it says that the server is closed already.
    server.close(() => {});
  };

  return {
    listen: async ({ host, port }) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      server.once('error', reject).listen({ host, port }, resolve);
      try {
        await promise;
      } catch (cause) {
        throw listenError(cause, host, port);
      }
      server.off('error', reject);
      server.on('error', (error) => log.error({ error: error.message }, 'listener failed'));
      return server.address() as AddressInfo;
    },
    get draining() {
      return closing !== undefined;
    },
    get connections() {
      return tracker.size;
    },
    close: (drain = {}) => {
      if (closing === undefined) closing = close(drain);
      else ended.abort();
      return closing;
    },
  };
}

function tooMany(connections: number, limit: number): Refusal | undefined {
  return connections > limit
    ? { reason: 'connections', detail: 'The node has too many connections.' }
    : undefined;
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch {
    // Cut short: what was waited for is there.
  }
}

function listenError(cause: unknown, host: string, port: number): ProxyError {
  const where = `${host}:${port}`;
  const code = codeOf(cause);
  const told: Partial<Record<string, [ProxyError['kind'], string]>> = {
    EADDRINUSE: ['unavailable', `cannot listen on ${where}: another process uses this port`],
    EACCES: ['forbidden', `cannot listen on ${where}: no permission for this port`],
    EADDRNOTAVAIL: ['invalid', `cannot listen on ${where}: this machine has no such address`],
    ENOTFOUND: ['invalid', `cannot listen on ${where}: the name ${host} is not known`],
  };
  const [kind, message] = told[code ?? ''] ?? [
    'unavailable',
    `cannot listen on ${where}: ${String(code ?? cause)}`,
  ];
  return new ProxyError(kind, 'server.listen', message, { cause });
}
