import type { ServerResponse } from 'node:http';
import type { Body, ByteRange } from '../body.ts';
import type { Clock } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import type { HeaderList } from '../headers.ts';
import { endToEnd } from '../hop-by-hop.ts';
import { chooseRange } from '../protocol/byte-ranges.ts';
import type { Content, ProtocolRequest, ProtocolResponse } from '../protocol/protocol.ts';
import { withCacheStatus } from './cache-status.ts';
import { allowsPart, isNotModified, notModifiedFields } from './conditional.ts';
import { dropKeepAliveFields } from './connection-fields.ts';
import { multipartRanges } from './multipart-ranges.ts';
import { sendBody } from './send-body.ts';

/** A message of several ranges is at most so many times as long as the body; a longer one gives way to the whole. */
const MAX_MULTIPART = 2;

/** What sending needs to know of its request and its node. */
export interface SendContext {
  /** Method and fields of the client, whose conditions and ranges are answered here. */
  readonly request: Pick<ProtocolRequest, 'method' | 'headers'>;
  readonly nodeId: string;
  readonly clock: Clock;
  /** Aborted when the client leaves. */
  readonly signal?: AbortSignal | undefined;
}

/** A status, its fields, and the bytes that go with it. */
export interface Outgoing {
  readonly status: number;
  readonly headers: HeaderList;
  /** Bytes of the body. Absent: not known before its end. */
  readonly size?: number | undefined;
  /** The whole body at once. */
  readonly bytes?: Buffer | undefined;
  /** Absent with no `bytes`: there is no body. */
  readonly open?: (() => Body) | undefined;
}

/**
 * Writes an answer straight to the connection; conditions and ranges are applied where the answer is selectable.
 * Gives the bytes of the body sent. Throws `range` before anything is written; once fields are out a failure cuts the connection.
 */
export async function sendResponse(
  response: ProtocolResponse,
  res: ServerResponse,
  context: SendContext,
): Promise<number> {
  const { content } = response;
  try {
    const outgoing = select(response, edgeFields(response, context.nodeId), context);
    const isHead = context.request.method === 'HEAD';
    dropKeepAliveFields(res);
    res.writeHead(outgoing.status, withLength(outgoing, isHead).toRaw());
    const { bytes, open, size } = outgoing;
    if (!isHead && bytes !== undefined) {
      res.end(bytes);
      return bytes.length;
    }
    if (isHead || open === undefined) {
      res.end();
      return 0;
    }
    // The first bytes share a packet with the fields where they are at hand; clients of a slow fill get the fields alone.
    setImmediate(() => {
      if (!res.destroyed && !res.writableEnded) res.flushHeaders();
    });
    return await sendBody(open(), res, size);
  } finally {
    content?.close();
  }
}

/** The fields of any answer of this node: end-to-end ones with Via, Cache-Status and X-Cache (RFC 9110 §7.6.3). */
export function edgeFields(response: ProtocolResponse, nodeId: string): HeaderList {
  const headers = endToEnd(response.headers);
  const via = headers.get('Via');
  return withCacheStatus(
    headers.with('Via', via === undefined ? `1.1 ${nodeId}` : `${via}, 1.1 ${nodeId}`),
    response.report,
  );
}

/** What of an answer goes out: the whole, a part of it, or a 304. Throws `range` where no part asked for exists. */
export function select(
  response: ProtocolResponse,
  fields: HeaderList,
  { request, clock, signal }: SendContext,
): Outgoing {
  const { status, content, selectable } = response;
  const retrieval = request.method === 'GET' || request.method === 'HEAD';
  if (selectable && retrieval && isNotModified(request.headers, fields, clock.now()))
    return { status: 304, headers: notModifiedFields(fields) };
  if (content === undefined) return { status, headers: fields };
  const whole = { size: content.size, bytes: content.bytes, open: () => content.open({ signal }) };
  const { size } = content;
  if (!selectable || status !== 200 || !content.seekable || size === undefined)
    return { status, headers: fields, ...whole };
  const rangeField = request.method === 'GET' ? request.headers.get('Range') : undefined;
  if (
    rangeField !== undefined &&
    allowsPart(request.headers.get('If-Range'), fields, clock.now())
  ) {
    const part = selectRange(rangeField, size, content, fields, signal);
    if (part !== undefined) return part;
  }
  if (content.incomplete === true)
    throw new ProxyError('internal', 'send-response', 'only parts of the body are kept');
  return { status, headers: fields.with('Accept-Ranges', 'bytes'), ...whole };
}

/** Absent: the whole goes out. */
function selectRange(
  field: string,
  size: number,
  content: Content,
  fields: HeaderList,
  signal: AbortSignal | undefined,
): Outgoing | undefined {
  const choice = chooseRange(field, size);
  if (choice.kind === 'whole') return undefined;
  if (choice.kind === 'unsatisfiable') throw new RangeNotSatisfiable(size);
  const open = (range: ByteRange): Body => content.open({ range, signal });
  const [first, second] = choice.ranges;
  if (first === undefined) return undefined;
  if (second !== undefined) {
    const message = multipartRanges(choice.ranges, size, fields.get('Content-Type'));
    // Of a small body the delimiters would be more than what was asked for (reliability H-84).
    if (message.size > MAX_MULTIPART * size) return undefined;
    return {
      status: 206,
      headers: fields.with('Content-Type', message.contentType),
      size: message.size,
      open: () => message.open(open),
    };
  }
  return {
    status: 206,
    headers: fields.with('Content-Range', `bytes ${first.start}-${first.end}/${size}`),
    size: first.end - first.start + 1,
    bytes: content.bytes?.subarray(first.start, first.end + 1),
    open: () => open(first),
  };
}

/** No range asked for lies in the body; its answer names the size (RFC 9110 §15.5.17). */
export class RangeNotSatisfiable extends ProxyError {
  readonly size: number;

  constructor(size: number) {
    super('range', 'send-response', `no range asked for lies in the ${size} bytes of the body`);
    this.size = size;
  }
}

function withLength({ status, headers, size, bytes, open }: Outgoing, isHead: boolean): HeaderList {
  if (status === 204 || status === 304) return headers.without('Content-Length');
  const hasBody = bytes !== undefined || open !== undefined;
  // The length of a body that only a GET would bring is known to the protocol alone.
  if (!hasBody) return isHead ? headers : headers.with('Content-Length', '0');
  const length = bytes?.length ?? size;
  if (length !== undefined) return headers.with('Content-Length', String(length));
  return isHead ? headers : headers.without('Content-Length');
}
