import type { IncomingMessage } from 'node:http';
import { HeaderList } from '../headers.ts';
import { endToEnd } from '../hop-by-hop.ts';
import type { ProtocolRequest } from '../protocol/protocol.ts';
import { forwardingFields, passesOn } from './forwarding.ts';
import type { PublicAddress } from './public-address.ts';
import { requestBody } from './request-body.ts';

/** Fields that are said elsewhere in a `ProtocolRequest`, or answered by the edge itself. */
const CONSUMED = new Set(['host', 'expect']);

/** What is known of a request beside its own text. */
export interface RequestOrigin {
  readonly address: PublicAddress;
  /** Path and query as the rule's protocol sees them. */
  readonly target: string;
  /** True: the sender's forwarding fields are believed. */
  readonly trusted: boolean;
  readonly nodeId: string;
}

/**
 * A checked request as protocols see it. `headers` has no Host, Expect, Via, CDN-Loop or X-Forwarded-For/-Proto/-Host:
 * `forwarding` has them complete, so upstream goes `headers` followed by `forwarding`. Throws `loop`.
 */
export function toProtocolRequest(req: IncomingMessage, origin: RequestOrigin): ProtocolRequest {
  const { address, target, trusted, nodeId } = origin;
  const sent = HeaderList.fromRaw(req.rawHeaders);
  const sender = {
    remoteAddress: plainAddress(req.socket.remoteAddress),
    trusted,
    minorVersion: req.httpVersionMinor,
  };
  return {
    method: req.method ?? 'GET',
    target,
    publicUrl: address.url,
    host: address.host,
    headers: clientFields(sent, trusted),
    forwarding: forwardingFields(sent, sender, address, nodeId),
    body: hasBody(req) ? requestBody(req) : undefined,
    onlyIfCached: false,
  };
}

/** The end-to-end fields of a client that go on under its own name. */
export function clientFields(sent: HeaderList, trusted: boolean): HeaderList {
  const lines = endToEnd(sent).lines.filter(([own]) => {
    const name = own.toLowerCase();
    return !CONSUMED.has(name) && passesOn(name, trusted);
  });
  return new HeaderList(lines);
}

/** An address without the prefix of an IPv4 client on an IPv6 socket. */
export function plainAddress(address: string | undefined): string | undefined {
  return address?.startsWith('::ffff:') === true ? address.slice('::ffff:'.length) : address;
}

function hasBody(req: IncomingMessage): boolean {
  const length = req.headers['content-length'];
  return req.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}
