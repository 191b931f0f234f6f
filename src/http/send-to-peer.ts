import { hash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { BLOCK_SIZE } from '../body.ts';
import { ProxyError } from '../errors.ts';
import {
  blocksToField,
  hexToReprDigest,
  PEER_FIELDS,
  type PeerState,
} from '../fetchers/peer-protocol.ts';
import { HeaderList } from '../headers.ts';
import type { Content, ProtocolResponse } from '../protocol/protocol.ts';
import { dropKeepAliveFields } from './connection-fields.ts';
import { cut, sendBody } from './send-body.ts';
import type { Outgoing, SendContext } from './send-response.ts';
import { edgeFields, RangeNotSatisfiable, select } from './send-response.ts';

/**
 * Writes an answer for a peer: always 200 with the stored fields, the real status in Caje-Status. A complete body has
 * Content-Length, Repr-Digest (RFC 9530) and the digests of its blocks; one that is still filling is chunked, with Repr-Digest in the trailer and its size,
 * where known, in Caje-Size. Conditions and ranges of the peer are answered with Caje-Status 304, 206 or 416. Gives the bytes of the body sent.
 */
export async function sendToPeer(
  response: ProtocolResponse,
  res: ServerResponse,
  context: SendContext,
): Promise<number> {
  const { content } = response;
  const { request, nodeId, signal } = context;
  const fields = edgeFields(response, nodeId)
    .without('Content-Length', 'X-Cache', 'Repr-Digest', 'Trailer')
    .with(PEER_FIELDS.state, stateOf(response))
    .concat(sinceOf(response, context));
  try {
    dropKeepAliveFields(res);
    const chosen = choose(response, fields, context);
    if (chosen.status !== response.status) return await sendChosen(chosen, res);
    const sized =
      content?.size === undefined ? fields : fields.with(PEER_FIELDS.size, String(content.size));
    if (content === undefined || request.method === 'HEAD') {
      writeHead(res, sized, response.status, '0');
      res.end();
      return 0;
    }
    if (content.digest === undefined && content.sealedDigest !== undefined) {
      writeHead(res, sized.with('Trailer', 'Repr-Digest'), response.status);
      return await sendFilling(content, content.sealedDigest, res, signal);
    }
    writeHead(
      res,
      await withDigests(sized, content),
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

/** Digest and block digests of a body that is whole; the one block of a small body has that of the body. */
export async function withDigests(fields: HeaderList, content: Content): Promise<HeaderList> {
  const { digest, bytes, size = 0 } = content;
  if (digest === undefined) return fields;
  const named = fields.with('Repr-Digest', hexToReprDigest(digest));
  if (size <= BLOCK_SIZE) return named;
  const blocks = content.blocks ?? (bytes && (await blocksOf(bytes)));
  return blocks ? named.with(PEER_FIELDS.blocks, blocksToField(blocks)) : named;
}

// One block at a time, so that others have their turn: it may be several MiB.
async function blocksOf(bytes: Buffer): Promise<Buffer> {
  const blocks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += BLOCK_SIZE) {
    if (at > 0) await setImmediate();
    blocks.push(hash('sha256', bytes.subarray(at, at + BLOCK_SIZE), 'buffer'));
  }
  return Buffer.concat(blocks);
}

function sinceOf({ report: { askedAt } }: ProtocolResponse, { clock }: SendContext): HeaderList {
  if (askedAt === undefined) return HeaderList.empty;
  return new HeaderList([[PEER_FIELDS.since, String(Math.max(0, clock.now() - askedAt))]]);
}

function stateOf({ report: { phase, stored } }: ProtocolResponse): PeerState {
  if (phase === 'hit' || phase === 'stale' || phase === 'revalidated') return 'kept';
  return stored === true ? 'filling' : 'passed';
}

/** As `select`, but that no range fits is an answer too, for the peer to pass on. */
function choose(response: ProtocolResponse, fields: HeaderList, context: SendContext): Outgoing {
  try {
    return select(response, fields, context);
  } catch (error) {
    if (!(error instanceof RangeNotSatisfiable)) throw error;
    return { status: 416, headers: new HeaderList([['Content-Range', `bytes */${error.size}`]]) };
  }
}

/** No digest goes along: that of the whole would not fit the part. */
async function sendChosen(
  { status, headers, size, bytes, open }: Outgoing,
  res: ServerResponse,
): Promise<number> {
  const length = bytes?.length ?? size ?? 0;
  writeHead(res, headers, status, String(length));
  if (bytes === undefined && open !== undefined) return await sendBody(open(), res, length);
  res.end(bytes);
  return length;
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
  if (digest !== undefined) res.addTrailers([['Repr-Digest', hexToReprDigest(digest)]]);
  res.end();
  return sent;
}

function writeHead(
  res: ServerResponse,
  headers: HeaderList,
  status: number,
  length?: string,
): void {
  const whole = headers.with(PEER_FIELDS.status, String(status));
  res.writeHead(200, (length === undefined ? whole : whole.with('Content-Length', length)).toRaw());
}
