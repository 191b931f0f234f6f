import { parseDictionary } from 'structured-headers';
import { type HeaderLine, HeaderList } from '../headers.ts';

/** Where a node answers its peers, below the address of its peer listener. */
export const PEER_RESOURCE_PATH = '/_caje/peer/v1/resource';

/** Fields between peers. */
export const PEER_FIELDS: {
  /** Request: the absolute URL that is asked for. */
  readonly target: 'Caje-Target';
  /** Request: `GET` or `HEAD`. */
  readonly method: 'Caje-Method';
  /** Request: `1` has the peer fetch what it does not have. */
  readonly fill: 'Caje-Fill';
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
  status: 'Caje-Status',
  miss: 'Caje-Miss',
  size: 'Caje-Size',
};

const SHA256_BYTES = 32;
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
