import { ProxyError } from '../errors.ts';
import { HeaderList } from '../headers.ts';
import type { PublicAddress } from './public-address.ts';

/** A request may pass this many caje nodes; the next one refuses it (reliability H-76). */
export const MAX_HOPS: number = 3;

/** How caje nodes name themselves in Via and CDN-Loop. */
const NODE_PREFIX = 'caje-';

/** Who sent a request, as far as it matters to those behind us. */
export interface Sender {
  /** IP address of the other end. Absent: it is gone already. */
  readonly remoteAddress: string | undefined;
  /** True: its forwarding fields are believed and passed on. */
  readonly trusted: boolean;
  /** Minor version of HTTP/1 that it spoke. */
  readonly minorVersion: number;
}

/** Fields that speak for a client or steer an origin: dropped unless the sender is trusted, since nothing is keyed by them. */
const SPOKEN_FOR =
  /^(?:forwarded|front-end-https|x-(?:forwarded(?:-.*)?|real-ip|client-ip|cluster-client-ip|originating-ip|remote-(?:addr|ip)|scheme|url-scheme|host|http-host-override|original-.*|rewrite-.*|http-method(?:-override)?|method-override)|true-client-ip|cf-connecting-ip|fastly-client-ip)$/;
/** Fields that this node writes itself into what it sends upstream. */
const WRITTEN_HERE = new Set([
  'via',
  'cdn-loop',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
]);

/** Whether a field of a client goes on as it is; `name` in lower case. */
export function passesOn(name: string, trusted: boolean): boolean {
  return !WRITTEN_HERE.has(name) && (trusted || !SPOKEN_FOR.test(name));
}

/**
 * The Via, CDN-Loop, X-Forwarded-* and Forwarded fields of what goes upstream: the sender's own (where they count) with ours
 * behind (RFC 9110 §7.6.3, RFC 8586, RFC 7239). Throws `loop` when this node, or more than `MAX_HOPS` nodes, had the request before.
 */
export function forwardingFields(
  headers: HeaderList,
  sender: Sender,
  address: PublicAddress,
  nodeId: string,
): HeaderList {
  const via = headers.get('Via');
  const loop = headers.get('CDN-Loop');
  refuseLoop(viaNodes(via), nodeId);
  refuseLoop(loopNodes(loop), nodeId);
  const remote = sender.remoteAddress ?? 'unknown';
  const said = (name: string): string | undefined =>
    sender.trusted ? headers.get(name) : undefined;
  const forwarded = `for=${forwardedNode(remote)};host=${quoted(address.host)};proto=${address.scheme}`;
  return new HeaderList([
    ['Via', joined(via, `1.${sender.minorVersion} ${nodeId}`)],
    ['CDN-Loop', joined(loop, nodeId)],
    ['X-Forwarded-For', joined(said('X-Forwarded-For'), remote)],
    ['X-Forwarded-Proto', said('X-Forwarded-Proto') ?? address.scheme],
    ['X-Forwarded-Host', said('X-Forwarded-Host') ?? address.host],
    ['Forwarded', joined(said('Forwarded'), forwarded)],
  ]);
}

function refuseLoop(nodes: readonly string[], nodeId: string): void {
  if (nodes.includes(nodeId))
    throw new ProxyError('loop', 'forwarding', 'the request passed this node before');
  if (nodes.filter((node) => node.startsWith(NODE_PREFIX)).length >= MAX_HOPS)
    throw new ProxyError(
      'loop',
      'forwarding',
      `the request passed ${MAX_HOPS} nodes before this one`,
    );
}

function viaNodes(via: string | undefined): string[] {
  return via === undefined
    ? []
    : via.split(',').map((entry) => (entry.trim().split(/\s+/)[1] ?? '').toLowerCase());
}

function loopNodes(loop: string | undefined): string[] {
  return loop === undefined
    ? []
    : loop.split(',').map((entry) => (entry.split(';')[0] ?? '').trim().toLowerCase());
}

function joined(before: string | undefined, own: string): string {
  return before === undefined || before.trim() === '' ? own : `${before}, ${own}`;
}

function forwardedNode(address: string): string {
  return address.includes(':') ? `"[${address}]"` : address;
}

function quoted(host: string): string {
  return host.includes(':') ? `"${host}"` : host;
}
