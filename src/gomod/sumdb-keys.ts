import { ProxyError } from '../errors.ts';
import { keyHash, parseVerifierKey, type VerifierKey, verifierKey } from './signed-note.ts';

/** Keys that the go command knows by the database's name alone, encoded, with the hash that holds for that name only. */
const KNOWN_KEYS: readonly { readonly hash: number; readonly encoded: string }[] = [
  { hash: 0x033de0ae, encoded: 'Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8' },
];

/**
 * The key of a checksum database by the first word of GOSUMDB: `name+hash+key`, or the bare name of a database whose key the
 * go command knows. Throws `invalid` for a malformed key and for a name without a known one.
 */
export function sumdbKey(nameOrKey: string): VerifierKey {
  if (nameOrKey.includes('+')) return parseVerifierKey(nameOrKey);
  for (const { hash, encoded } of KNOWN_KEYS) {
    const bytes = Buffer.from(encoded, 'base64');
    if (keyHash(nameOrKey, bytes) === hash) return verifierKey(nameOrKey, bytes);
  }
  throw new ProxyError(
    'invalid',
    'sumdb-keys.key',
    `no key is known for checksum database ${JSON.stringify(nameOrKey.slice(0, 200))}: give it as name+hash+key`,
  );
}
