import type { ServerResponse } from 'node:http';
import type { CachePhase } from '../protocol/protocol.ts';

/** What is known of one request and its answer, for the access log and the counters. */
export interface Exchange {
  requestId?: string | undefined;
  /** Rule that answered. Absent: none was asked. */
  rule?: string | undefined;
  phase?: CachePhase | undefined;
  /** Bytes of the body handed to the connection. */
  bytes?: number | undefined;
  /** What went wrong. Absent: nothing. */
  error?: unknown;
  /** Name of the peer that asked. */
  peer?: string | undefined;
}

const exchanges = new WeakMap<ServerResponse, Exchange>();

/** The notes of an answer; made empty on first use. */
export function exchangeOf(res: ServerResponse): Exchange {
  let exchange = exchanges.get(res);
  if (exchange === undefined) {
    exchange = {};
    exchanges.set(res, exchange);
  }
  return exchange;
}
