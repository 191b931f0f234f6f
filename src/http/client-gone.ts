import type { ServerResponse } from 'node:http';
import { ProxyError } from '../errors.ts';

/** Aborted, with an `aborted` error, when the client leaves before its answer is whole. Never aborted after that. */
export function clientGone(res: ServerResponse): AbortSignal {
  const gone = new AbortController();
  const check = (): void => {
    if (!res.writableFinished)
      gone.abort(new ProxyError('aborted', 'client-gone', 'the client left'));
  };
  if (res.destroyed || res.socket?.destroyed === true) check();
  else res.once('close', check);
  return gone.signal;
}
