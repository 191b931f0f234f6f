import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { GoRegistry } from './go-registry.ts';

/** Ed25519 in the keys of signed notes. */
const ALGORITHM = 1;
/** Records in a whole tile; a log of fewer has one partial tile. */
const TILE_WIDTH = 256;
const HASH_SIZE = 32;

/** A checksum database with a key of its own, as the go command checks it: lookups, tiles and signed trees. */
export class GoSumdb {
  readonly name: string;
  readonly #private: KeyObject;
  readonly #public: Buffer;
  readonly #records = new Map<string, string>();

  constructor(name: string) {
    this.name = name;
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    this.#private = privateKey;
    const jwk = publicKey.export({ format: 'jwk' });
    this.#public = Buffer.concat([Buffer.from([ALGORITHM]), Buffer.from(jwk.x ?? '', 'base64url')]);
  }

  /** What GOSUMDB must be for a client to trust it. */
  get key(): string {
    return `${this.name}+${this.#keyHash().toString('hex')}+${this.#public.toString('base64')}`;
  }

  /** Adds a record for every version that the registry released since, and lays the whole log down below `/sumdb/<name>`. */
  publish(registry: GoRegistry): void {
    registry.put(`/sumdb/${this.name}/supported`, '');
    for (const [id, files] of registry.contents) {
      if (!this.#records.has(id)) this.#records.set(id, sumLines(id, files));
    }
    const count = this.#records.size;
    if (count >= TILE_WIDTH) throw new Error('this log holds one tile only');
    const hashes = [...this.#records.values()].map(leafHash);
    const at = `/sumdb/${this.name}`;
    const tree = this.sign(
      `go.sum database tree\n${count}\n${rootHash(hashes).toString('base64')}\n`,
    );
    registry.put(`${at}/latest`, tree);
    registry.put(`${at}/tile/8/0/000.p/${count}`, Buffer.concat(hashes));
    for (const [number, [id, lines]] of [...this.#records].entries()) {
      const escaped = id.replace(/[A-Z]/g, (letter) => `!${letter.toLowerCase()}`);
      registry.put(`${at}/lookup/${escaped}`, `${number}\n${lines}\n${tree}`);
    }
  }

  /** A note with this database's signature below it. */
  sign(text: string): string {
    const signature = sign(undefined, Buffer.from(text), this.#private);
    const signed = Buffer.concat([this.#keyHash(), signature]).toString('base64');
    return `${text}\n\u2014 ${this.name} ${signed}\n`;
  }

  #keyHash(): Buffer {
    return sha256(Buffer.concat([Buffer.from(`${this.name}\n`), this.#public])).subarray(0, 4);
  }
}

/** What has the form of an answer to this path of a database, signed by nobody. */
export function formOf(path: string): Buffer {
  const [, id] = /\/lookup\/(.+)$/.exec(path) ?? [];
  if (id !== undefined) {
    const unsigned = 'go.sum database tree\n9\nAAAA\n\n\u2014 nobody AAAA\n';
    return Buffer.from(`7\n${sumLines(id, { 'go.mod': id })}\n${unsigned}`);
  }
  const [, level, width] = /\/tile\/8\/(\d+|data)\/[^.]*(?:\.p\/(\d+))?$/.exec(path) ?? [];
  if (level === undefined) return Buffer.from('go.sum database tree\n9\nAAAA\n');
  return Buffer.alloc(HASH_SIZE * Number(width ?? TILE_WIDTH), path);
}

/** The two lines of go.sum for one version; `id` is `module@version`. */
export function sumLines(id: string, files: Readonly<Record<string, string>>): string {
  const [module, version] = id.split('@');
  const named = Object.entries(files).map(([path, text]) => [`${id}/${path}`, text] as const);
  const mod = files['go.mod'] ?? '';
  return `${module} ${version} ${hash1(named)}\n${module} ${version}/go.mod ${hash1([['go.mod', mod]])}\n`;
}

function hash1(files: readonly (readonly [name: string, text: string])[]): string {
  const lines = files
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, text]) => `${sha256(Buffer.from(text)).toString('hex')}  ${name}\n`);
  return `h1:${sha256(Buffer.from(lines.join(''))).toString('base64')}`;
}

function leafHash(record: string): Buffer {
  return sha256(Buffer.concat([Buffer.from([0]), Buffer.from(record)]));
}

/** RFC 6962 §2.1. */
function rootHash(hashes: readonly Buffer[]): Buffer {
  const [first = sha256(Buffer.alloc(0))] = hashes;
  if (hashes.length <= 1) return first;
  let split = 1;
  while (split * 2 < hashes.length) split *= 2;
  const halves = [rootHash(hashes.slice(0, split)), rootHash(hashes.slice(split))];
  return sha256(Buffer.concat([Buffer.from([1]), ...halves]));
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}
