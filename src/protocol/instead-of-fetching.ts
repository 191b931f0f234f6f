import { ProxyError } from '../errors.ts';
import type { FetchRequest } from '../fetchers/fetcher.ts';
import { HeaderList } from '../headers.ts';
import type { Supply } from './arrival.ts';
import type { ProtocolResponse } from './protocol.ts';

const OP = 'pull-through.answer';

/** Why nothing may be fetched for a request, as the error to answer with. Absent: it may. */
export function fetchBan({ onlyIfCached, mode, network }: Supply): ProxyError | undefined {
  const offline = network === 'offline';
  if (onlyIfCached)
    return new ProxyError('timeout', OP, 'not kept here, and only what is kept was asked for');
  if (mode === 'none')
    return new ProxyError(
      'not-found',
      OP,
      `not found: not kept here, and ${offline ? 'this node is offline for it' : 'nothing is fetched for it'}`,
    );
  if (offline)
    return new ProxyError('timeout', OP, 'not kept here, and this node is offline for it');
  return undefined;
}

/** True: a fetch may go on behind an answer that is already given. */
export function mayFetchBehind(supply: Supply): boolean {
  return fetchBan(supply) === undefined && supply.mode !== 'redirect';
}

/** True: stale answers stand in, as the node is cut off from the upstream by its own configuration. */
export function isCutOff({ mode, network }: Supply): boolean {
  return mode === 'none' || network === 'offline';
}

/** Sends the client to the upstream (307: method and body stay, nobody remembers it). Throws `not-found` where no fetcher has an address for clients. */
export async function redirectTo(request: FetchRequest, supply: Supply): Promise<ProtocolResponse> {
  const address = await supply.fetcher.locate?.(request, { signal: supply.signal });
  if (address === undefined)
    throw new ProxyError(
      'not-found',
      OP,
      'not found: not kept here, and there is no upstream that a client could ask',
    );
  return {
    status: 307,
    headers: new HeaderList([
      ['Location', address.href],
      ['Cache-Control', 'no-store'],
    ]),
    report: { phase: 'bypass', detail: 'REDIRECT' },
    selectable: false,
  };
}

/** What an `async` request is answered until what it asked for is kept. */
export function notYet(): ProxyError {
  return new ProxyError('not-found', OP, 'not found: it is being fetched; ask again in a moment');
}
