import type { Middleware } from 'koa';
import type { CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import { HeaderList } from '../headers.ts';
import { storedContent } from '../protocol/contents.ts';
import type { ProtocolResponse } from '../protocol/protocol.ts';
import type { Getter, Opened } from '../storage/backend.ts';
import { type Digest, isDigest } from '../storage/digest.ts';
import { clientGone } from './client-gone.ts';
import { exchangeOf } from './exchange.ts';
import { sendResponse } from './send-response.ts';
import { withDigests } from './send-to-peer.ts';

/** A kept body and the place that it is read from. */
export interface FoundBlob {
  readonly opened: Opened;
  readonly from: Getter;
}

/** Opens a body that peers may have. Absent: none is kept here by that digest, or only what is private names it. */
export type OpenBlob = (digest: Digest, options: CallOptions) => Promise<FoundBlob | undefined>;

/** What answering needs. */
export interface BlobOptions {
  readonly openBlob: OpenBlob;
  readonly nodeId: string;
  readonly clock: Clock;
}

/** Answers GET and HEAD for a body by its SHA-256, whole or a range of it; its digests go along. 404 for what is not kept. */
export function answerBlob({ openBlob, nodeId, clock }: BlobOptions): Middleware {
  return async (ctx) => {
    const { req, res } = ctx;
    const digest = ctx.path.slice(ctx.path.lastIndexOf('/') + 1);
    if (!isDigest(digest))
      throw new ProxyError('invalid', 'peer-blob', 'a body is named by its SHA-256 in hex');
    const signal = clientGone(res);
    const found = await openBlob(digest, { signal });
    if (found === undefined)
      throw new ProxyError('not-found', 'peer-blob', 'no such body is kept here');
    const content = storedContent(found.opened, found.from);
    const fields = new HeaderList([
      ['Content-Type', 'application/octet-stream'],
      ['ETag', `"${digest}"`],
    ]);
    const headers = await withDigests(fields, content);
    const report = { phase: 'hit' } as const;
    const response: ProtocolResponse = { status: 200, headers, content, report, selectable: true };
    const request = { method: req.method ?? 'GET', headers: HeaderList.fromRaw(req.rawHeaders) };
    const exchange = exchangeOf(res);
    exchange.phase = 'hit';
    ctx.respond = false;
    exchange.bytes = await sendResponse(response, res, { request, nodeId, clock, signal });
  };
}
