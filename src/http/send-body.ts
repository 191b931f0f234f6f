import type { ServerResponse } from 'node:http';
import type { Body } from '../body.ts';
import { ProxyError } from '../errors.ts';
import { recycle } from '../storage/block-pool.ts';
import { exchangeOf } from './exchange.ts';

/**
 * Copies a body to an answer whose fields are out, at the pace of the client. `size`: bytes announced; absent: none were.
 * Resolves with the bytes sent when the answer is whole (it is ended unless `keepOpen`); else the connection is cut,
 * never ended cleanly, and it rejects: with the body's error, `integrity` for a wrong length, `aborted` when the client left.
 */
export function sendBody(
  body: Body,
  res: ServerResponse,
  size?: number,
  keepOpen = false,
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let sent = 0;
  let done = false;

  const settle = (error?: unknown): void => {
    if (done) return;
    done = true;
    // Noted before the answer ends: the access log is written when it is out.
    exchangeOf(res).bytes = sent;
    body.off('data', onData).off('end', onEnd).off('close', onBodyClose);
    res.off('drain', onDrain).off('close', onClientGone);
    if (error === undefined) {
      resolve(sent);
      return;
    }
    body.destroy();
    cut(res);
    reject(error);
  };
  const onData = (chunk: Buffer): void => {
    if (size !== undefined && sent + chunk.length > size) {
      settle(
        new ProxyError(
          'integrity',
          'send-body',
          `the body is longer than the ${size} bytes announced`,
        ),
      );
      return;
    }
    sent += chunk.length;
    if (!res.write(chunk, (error) => void (error ?? recycle(chunk)))) body.pause();
  };
  const onDrain = (): void => {
    body.resume();
  };
  const onEnd = (): void => {
    if (size !== undefined && sent !== size) {
      settle(
        new ProxyError('integrity', 'send-body', `the body ended after ${sent} of ${size} bytes`),
      );
      return;
    }
    settle();
    if (!keepOpen) res.end();
  };
  const onBodyClose = (): void =>
    settle(new ProxyError('integrity', 'send-body', `the body was closed after ${sent} bytes`));
  const onClientGone = (): void =>
    settle(new ProxyError('aborted', 'send-body', 'the client left'));

  // Stays on after settling: a late error of a destroyed body must find a listener.
  body.on('error', (error) => settle(error));
  body.on('end', onEnd).on('close', onBodyClose);
  res.on('drain', onDrain).on('close', onClientGone);
  if (res.destroyed || res.socket?.destroyed === true) onClientGone();
  else if (body.errored !== null) settle(body.errored);
  else if (body.destroyed) onBodyClose();
  else body.on('data', onData);
  return promise;
}

/** Ends a connection so that its client cannot take what it has for the whole. */
export function cut(res: ServerResponse): void {
  // Without length and chunks (HTTP/1.0) a closed connection reads as a clean end; a reset does not.
  if (res.headersSent && res.req.httpVersionMinor === 0) res.socket?.resetAndDestroy();
  res.destroy();
}
