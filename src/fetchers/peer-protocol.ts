import { parseDictionary } from 'structured-headers';
import { BLOCK_SIZE } from '../body.ts';
import { ProxyError } from '../errors.ts';
import { type HeaderLine, HeaderList } from '../headers.ts';

/** Where a node answers its peers, below the address of its peer listener. */
export const PEER_RESOURCE_PATH = '/_caje/peer/v1/resource';

/** Where a node says who it is, to those who show a token. */
export const PEER_NODE_PATH = '/_caje/peer/v1/node';

/** Where a node says how it stands in the cluster, to those who show a token. */
export const PEER_STATUS_PATH = '/_caje/peer/v1/status';

/** Below this path lies each body that is kept, by its SHA-256 in hex. */
export const PEER_BLOB_PATH = '/_caje/peer/v1/blob';

/** Number of the protocol that is spoken here; nodes of another one do not ask each other. */
export const PEER_PROTOCOL = 1;

/** What a node says of itself. */
export interface PeerNode {
  /** Own name in Via and CDN-Loop. */
  readonly nodeId: string;
  /** Version of caje. */
  readonly version: string;
  /** `PEER_PROTOCOL` of that node. */
  readonly protocol: number;
  /** True: it is stopping and should not be asked any more. */
  readonly draining: boolean;
}

/**
 * Where an answer of a peer stands: `kept` there, `filling` and to be kept, or `passed` through and forgotten, so that asking
 * there was a way round.
 */
export type PeerState = 'kept' | 'filling' | 'passed';

/** Fields between peers. */
export const PEER_FIELDS: {
  /** Request: the absolute URL that is asked for. */
  readonly target: 'Caje-Target';
  /** Request: `GET` or `HEAD`. */
  readonly method: 'Caje-Method';
  /** Request: `1` has the peer fetch what it does not have. */
  readonly fill: 'Caje-Fill';
  /** Request: `1` says that the sender holds this node to be the owner of the key, which then asks no further one. */
  readonly owner: 'Caje-Owner';
  /** Answer: a `PeerState`. */
  readonly state: 'Caje-State';
  /** Answer: milliseconds since its origin was asked for it, or confirmed it. */
  readonly since: 'Caje-Since';
  /** Answer: SHA-256 of each block of the body, base64, those of the first GiB at most. */
  readonly blocks: 'Caje-Blocks';
  /** Answer: the stored status. */
  readonly status: 'Caje-Status';
  /** Answer: `1` on a 504 says that the peer does not have it. */
  readonly miss: 'Caje-Miss';
  /** Answer: bytes of a body that is sent chunked, or of one that HEAD leaves out. */
  readonly size: 'Caje-Size';
} = {
  target: 'Caje-Target',
  method: 'Caje-Method',
  fill: 'Caje-Fill',
  owner: 'Caje-Owner',
  state: 'Caje-State',
  since: 'Caje-Since',
  blocks: 'Caje-Blocks',
  status: 'Caje-Status',
  miss: 'Caje-Miss',
  size: 'Caje-Size',
};

const SHA256_BYTES = 32;
/** Blocks whose digests go along: more would not fit into the fields that a client reads. */
const MAX_BLOCKS = 1024;
const OF_THE_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'trailer',
  'repr-digest',
]);

/** SHA-256 in hex of a `Repr-Digest` value (RFC 9530). Absent: it has none that can be read. */
export function reprDigestToHex(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  try {
    const digest = parseDictionary(value).get('sha-256')?.[0];
    if (!(digest instanceof ArrayBuffer) || digest.byteLength !== SHA256_BYTES) return undefined;
    return Buffer.from(digest).toString('hex');
  } catch {
    return undefined;
  }
}

/** `Repr-Digest` value of a SHA-256 in hex (RFC 9530). */
export function hexToReprDigest(hex: string): string {
  return `sha-256=:${Buffer.from(hex, 'hex').toString('base64')}:`;
}

/** Value of the blocks field for these block digests, 32 bytes each. */
export function blocksToField(blocks: Buffer): string {
  return blocks.subarray(0, MAX_BLOCKS * SHA256_BYTES).toString('base64');
}

/**
 * The block digests of a body of `size` bytes: those of the field, or the body's own digest (hex) where it is one block.
 * Absent: there are none. Throws `upstream` for a field that does not fit the size.
 */
export function blocksOfAnswer(
  field: string | undefined,
  digest: string | undefined,
  size: number,
): Buffer | undefined {
  if (size === 0) return undefined;
  if (size <= BLOCK_SIZE) return digest === undefined ? undefined : Buffer.from(digest, 'hex');
  if (field === undefined) return undefined;
  const blocks = Buffer.from(field, 'base64');
  const count = Math.min(Math.ceil(size / BLOCK_SIZE), MAX_BLOCKS);
  if (blocks.length === count * SHA256_BYTES) return blocks;
  throw new ProxyError(
    'upstream',
    'peer-protocol.blocks',
    'the block digests sent along do not fit the size of the body',
  );
}

/** What a node says of itself, read from JSON. Throws `upstream` for anything else. */
export function parsePeerNode(text: string): PeerNode {
  const node = parsedJson(text) as Partial<PeerNode> | null | undefined;
  const { nodeId, version, protocol, draining } = node ?? {};
  if (typeof nodeId === 'string' && typeof version === 'string' && typeof protocol === 'number')
    return { nodeId, version, protocol, draining: draining === true };
  throw new ProxyError('upstream', 'peer-protocol.node', 'the answer is not that of a caje node');
}

/** A JSON text's value. Absent: it is none. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * The fields of the stored answer out of a peer's: without those of the hop and of the peers' own, and with its
 * Content-Length where that is known. `bodiless`: the body was left out, so the hop's length is not the answer's.
 */
export function storedFields(received: HeaderList, bodiless: boolean): HeaderList {
  const size = received.get(PEER_FIELDS.size);
  const lines: HeaderLine[] = [];
  let hasLength = false;
  for (const line of received.lines) {
    const name = line[0].toLowerCase();
    if (OF_THE_HOP.has(name) || name.startsWith('caje-')) continue;
    if (name === 'content-length') {
      if (bodiless) continue;
      hasLength = true;
    }
    lines.push(line);
  }
  if (!hasLength && size !== undefined && /^\d+$/.test(size)) lines.push(['Content-Length', size]);
  return new HeaderList(lines);
}
