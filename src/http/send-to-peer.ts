import type { ServerResponse } from 'node:http';
import { ProxyError } from '../errors.ts';
import type { HeaderList } from '../headers.ts';
import type { Content, ProtocolResponse } from '../protocol/protocol.ts';
import { isNotModified, notModifiedFields } from './conditional.ts';
import { dropKeepAliveFields } from './connection-fields.ts';
import { cut, sendBody } from './send-body.ts';
import type { SendContext } from './send-response.ts';
import { edgeFields } from './send-response.ts';

/**
 * Writes an answer for a peer: always 200 with the stored fields, the real status in Caje-Status. A complete body has
 * Content-Length and Repr-Digest (RFC 9530); one that is still filling is chunked, with Repr-Digest in the trailer and its size,
 * where known, in Caje-Size. Conditions of the peer are answered with Caje-Status 304. Gives the bytes of the body sent.
 */
export async function sendToPeer(
  response: ProtocolResponse,
  res: ServerResponse,
  context: SendContext,
): Promise<number> {
  const { content, selectable } = response;
  const { request, nodeId, clock, signal } = context;
  const fields = edgeFields(response, nodeId).without(
    'Content-Length',
    'X-Cache',
    'Repr-Digest',
    'Trailer',
  );
  try {
    dropKeepAliveFields(res);
    if (selectable && isNotModified(request.headers, fields, clock.now())) {
      writeHead(res, notModifiedFields(fields), 304, '0');
      res.end();
      return 0;
    }
    const sized =
      content?.size === undefined ? fields : fields.with('Caje-Size', String(content.size));
    if (content === undefined || request.method === 'HEAD') {
      writeHead(res, sized, response.status, '0');
      res.end();
      return 0;
    }
    if (content.digest === undefined && content.sealedDigest !== undefined) {
      writeHead(res, sized.with('Trailer', 'Repr-Digest'), response.status);
      return await sendFilling(content, content.sealedDigest, res, signal);
    }
    const promised =
      content.digest === undefined ? sized : sized.with('Repr-Digest', reprDigest(content.digest));
    writeHead(
      res,
      promised,
      response.status,
      content.size === undefined ? undefined : String(content.size),
    );
    if (content.bytes === undefined)
      return await sendBody(content.open({ signal }), res, content.size);
    res.end(content.bytes);
    return content.bytes.length;
  } finally {
    content?.close();
  }
}

async function sendFilling(
  content: Content,
  sealedDigest: Promise<string | undefined>,
  res: ServerResponse,
  signal: AbortSignal | undefined,
): Promise<number> {
  // Watched from now on: it may reject long before the body is at its end.
  const sealed = sealedDigest.then(
    (digest) => ({ digest, error: undefined }),
    (error: unknown) => ({ digest: undefined, error }),
  );
  res.flushHeaders();
  const sent = await sendBody(content.open({ signal }), res, content.size, true);
  const { digest, error } = await sealed;
  if (error !== undefined) {
    cut(res);
    throw new ProxyError(
      'integrity',
      'send-to-peer',
      'the body was found to be damaged at its end',
      { cause: error },
    );
  }
  if (digest !== undefined) res.addTrailers([['Repr-Digest', reprDigest(digest)]]);
  res.end();
  return sent;
}

function writeHead(
  res: ServerResponse,
  headers: HeaderList,
  status: number,
  length?: string,
): void {
  const whole = headers.with('Caje-Status', String(status));
  res.writeHead(200, (length === undefined ? whole : whole.with('Content-Length', length)).toRaw());
}

/** RFC 9530 §3: the digest, in hex, as a structured-field byte sequence. */
function reprDigest(hex: string): string {
  return `sha-256=:${Buffer.from(hex, 'hex').toString('base64')}:`;
}
