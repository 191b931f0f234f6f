import { isUtf8 } from 'node:buffer';
import { createPublicKey, hash, type KeyObject, verify } from 'node:crypto';
import { ProxyError } from '../errors.ts';
import { SumdbFault } from './sumdb-fault.ts';

/** Who signs, and how that is checked. */
export interface VerifierKey {
  readonly name: string;
  /** First four bytes of SHA-256 of the name, a newline, and the encoded key, as a number. */
  readonly hash: number;
  readonly key: KeyObject;
}

/** The only algorithm there is: Ed25519, in the byte before the key. */
const ED25519 = 1;
const KEY_BYTES = 32;
const HASH_BYTES = 4;
/** More signatures than any note has; reading them must end. */
const MAX_SIGNATURES = 100;
/** A name is one word without a plus. NEL is a space to Go and not to JavaScript. */
const NAME = /^[^\s+\u0085]+$/u;
const SIGNATURE_MARK = '— ';
const NEWLINE = 0x0a;
const SPACE = 0x20;

/** The hash by which signatures name an encoded key (algorithm byte and key). As x/mod sumdb/note. */
export function keyHash(name: string, encoded: Buffer): number {
  const text = Buffer.concat([Buffer.from(`${name}\n`), encoded]);
  return hash('sha256', text, 'buffer').readUInt32BE();
}

/** Reads `name+hash+key`, as GOSUMDB has it. Throws `invalid` for anything else. As x/mod note.NewVerifier. */
export function parseVerifierKey(text: string): VerifierKey {
  const [, name = '', hex = '', base64 = ''] = /^([^+]*)\+([^+]*)\+(.*)$/s.exec(text) ?? [];
  const encoded = strictBase64(base64);
  if (!NAME.test(name) || !/^[0-9a-fA-F]{8}$/.test(hex) || encoded === undefined)
    throw malformedKey(text, 'expected name+hash+key');
  if (encoded[0] !== ED25519 || encoded.length !== 1 + KEY_BYTES)
    throw malformedKey(text, 'the key is no Ed25519 key');
  if (keyHash(name, encoded) !== Number.parseInt(hex, 16))
    throw malformedKey(text, 'the hash does not belong to name and key');
  return verifierKey(name, encoded);
}

/** A key from its encoded bytes, which are an algorithm byte of 1 and 32 bytes of Ed25519. */
export function verifierKey(name: string, encoded: Buffer): VerifierKey {
  const x = encoded.subarray(1).toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  return { name, hash: keyHash(name, encoded), key };
}

/**
 * The text of a signed note, which ends in a newline. Signatures of others are passed over; that of the key must be there and
 * good. Throws `SumdbFault`. As x/mod note.Open, but base64 must be in its one spelling.
 */
export function openNote(note: Buffer, verifier: VerifierKey): Buffer {
  const end = note.lastIndexOf('\n\n');
  if (!isPlain(note) || end < 0 || end + 2 === note.length || note.at(-1) !== NEWLINE)
    throw new SumdbFault('the signed note is malformed');
  const text = note.subarray(0, end + 1);
  const lines = note.toString('utf8', end + 2, note.length - 1).split('\n', MAX_SIGNATURES + 1);
  if (lines.length > MAX_SIGNATURES) throw new SumdbFault('the note has too many signatures');
  let verified = false;
  for (const line of lines) {
    const { name, hash: signer, signature } = readSignature(line);
    if (name !== verifier.name || signer !== verifier.hash || verified) continue;
    verified = verify(null, text, verifier.key, signature);
    if (!verified) throw new SumdbFault('the signature is wrong');
  }
  if (!verified) throw new SumdbFault('the note has no signature of the key');
  return text;
}

/** Bytes that a base64 text with padding stands for. Absent: it is none, is empty, or could be written otherwise. */
export function strictBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return text !== '' && bytes.toString('base64') === text ? bytes : undefined;
}

/** True: UTF-8 without control characters but newlines. */
export function isPlain(bytes: Buffer): boolean {
  return isUtf8(bytes) && bytes.every((byte) => byte >= SPACE || byte === NEWLINE);
}

function readSignature(line: string): {
  readonly name: string;
  readonly hash: number;
  readonly signature: Buffer;
} {
  const [name = '', base64 = '', ...rest] = line.slice(SIGNATURE_MARK.length).split(' ');
  const bytes = strictBase64(base64);
  const whole = line.startsWith(SIGNATURE_MARK) && rest.length === 0 && NAME.test(name);
  if (!whole || bytes === undefined || bytes.length <= HASH_BYTES)
    throw new SumdbFault('a signature line of the note is malformed');
  return { name, hash: bytes.readUInt32BE(), signature: bytes.subarray(HASH_BYTES) };
}

function malformedKey(text: string, why: string): ProxyError {
  const shown = JSON.stringify(text.slice(0, 200));
  return new ProxyError(
    'invalid',
    'signed-note.key',
    `${shown} is no key of a checksum database: ${why}`,
  );
}
