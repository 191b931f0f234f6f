import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import type { Body } from '../body.ts';
import { ProxyError } from '../errors.ts';

/**
 * A request's body apart from its connection: whoever destroys it, because its fetch failed, leaves the client a
 * connection to be answered on; what is still to come is read and dropped. Errors with `aborted` when the client leaves.
 */
export function requestBody(req: IncomingMessage): Body {
  const body = new PassThrough();
  const left = (): void => {
    if (!req.complete)
      body.destroy(
        new ProxyError('aborted', 'request-body', 'the client left before its body was in'),
      );
  };
  req.once('close', left).once('error', left);
  body.once('close', () => {
    req.off('close', left);
    req.unpipe(body);
    req.resume();
  });
  // Whoever destroys it knows why; without a listener its own error would end the process.
  body.on('error', () => {});
  req.pipe(body);
  return body;
}
