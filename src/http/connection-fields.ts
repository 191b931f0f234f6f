import type { ServerResponse } from 'node:http';

/**
 * Keeps node:http from adding `Connection: keep-alive` and `Keep-Alive` to an answer, which HTTP/1.1 does not need.
 * Called right before the fields are written; `Connection: close` still goes out where the connection ends.
 */
export function dropKeepAliveFields(res: ServerResponse): void {
  if (res.shouldKeepAlive && res.req.httpVersionMinor === 1) res.removeHeader('Connection');
}
