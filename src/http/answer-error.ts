import type { ServerResponse } from 'node:http';
import { kindOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { exchangeOf } from './exchange.ts';
import type { ErrorFormat } from './problem.ts';
import { PROBLEMS, problemOf, sendProblem } from './problem.ts';
import { newRequestId } from './request-id.ts';
import { RangeNotSatisfiable } from './send-response.ts';

/** Where failures are counted. */
export interface ErrorSink {
  readonly metrics: Metrics;
  readonly log: Logger;
}

/**
 * The one way out for anything thrown while a request was answered: counted, noted for the access log, and sent; or,
 * where fields are out already, the connection is cut. A client that left is no error of ours.
 */
export function answerError(
  error: unknown,
  res: ServerResponse,
  sink: ErrorSink,
  format: ErrorFormat = 'json',
): void {
  const exchange = exchangeOf(res);
  exchange.error = error;
  exchange.requestId ??= newRequestId();
  const kind = kindOf(error);
  // A body that broke off ends in a foreign error wherever it is read.
  const clientBroke = kind === 'internal' && res.req.destroyed && !res.req.complete;
  if (kind === 'aborted' || clientBroke) {
    res.destroy();
    return;
  }
  sink.metrics.count('request_errors_total', kind);
  if (kind === 'loop') sink.metrics.count('loops_total');
  exchange.phase ??= PROBLEMS[kind].phase;
  const extra: [string, string][] =
    error instanceof RangeNotSatisfiable ? [['Content-Range', `bytes */${error.size}`]] : [];
  exchange.bytes = sendProblem(res, problemOf(error), exchange.requestId, format, extra);
}
