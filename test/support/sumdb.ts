import { generateKeyPairSync, hash, type KeyObject, sign } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { SumdbRead } from '../../src/gomod/sumdb-tiles.ts';

/** Who signs a database's trees. */
export interface SumdbSigner {
  readonly name: string;
  /** `name+hash+key`, as GOSUMDB has it. */
  readonly key: string;
  /** A signature line for a text, without newline. */
  sign(text: string): string;
}

/** One record of a log. */
export interface SumdbEntry {
  readonly module: string;
  readonly version: string;
  /** Lines, each with its newline. */
  readonly text: string;
}

/** What a misbehaving database answers in place of a body; a number is a status. */
export type Spoiler = (path: string, body: Buffer | undefined) => Buffer | number | undefined;

const TILE_WIDTH = 256;
const TILE = /^\/tile\/8\/(\d+)\/((?:x\d{3}\/)*\d{3})(?:\.p\/(\d+))?$/;

/** Makes a key of its own for a database's name. */
export function sumdbSigner(name: string): SumdbSigner {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const encoded = Buffer.concat([Buffer.of(1), rawKey(publicKey)]);
  const keyHash = sha256(Buffer.from(`${name}\n`), encoded).subarray(0, 4);
  return {
    name,
    key: `${name}+${keyHash.toString('hex')}+${encoded.toString('base64')}`,
    sign: (text) => {
      const signature = sign(null, Buffer.from(text), privateKey);
      return `— ${name} ${Buffer.concat([keyHash, signature]).toString('base64')}`;
    },
  };
}

/** A sum as go.sum writes it, for whatever text. */
export function sumOf(text: string): string {
  return `h1:${hash('sha256', text, 'base64')}`;
}

/** The log of a checksum database after RFC 6962 §2.1, in the plainest way, and its answers. */
export class SumdbLog {
  readonly signer: SumdbSigner;
  readonly entries: SumdbEntry[] = [];
  /** Records in the tree that is signed now. Absent: all. */
  size: number | undefined;
  /** True: a part of a tile is gone once the tile is full. */
  dropsParts = false;
  readonly #ids = new Map<string, number>();
  readonly #signed = new Map<number, string>();
  readonly #leaves: Buffer[] = [];
  readonly #complete = new Map<string, Buffer>();

  constructor(signer: SumdbSigner) {
    this.signer = signer;
  }

  /** Appends a record with both sums of a version, or with a text of its own. */
  add(
    module: string,
    version: string,
    sums: { readonly zip: string; readonly mod: string } | string,
  ): void {
    const text =
      typeof sums === 'string'
        ? sums
        : `${module} ${version} ${sums.zip}\n${module} ${version}/go.mod ${sums.mod}\n`;
    this.#ids.set(`${module}@${version}`, this.entries.length);
    this.entries.push({ module, version, text });
    this.#leaves.push(sha256(Buffer.of(0), Buffer.from(text)));
  }

  /** Another log of the same signer that begins with the same records. */
  fork(keep: number): SumdbLog {
    const other = new SumdbLog(this.signer);
    for (const { module, version, text } of this.entries.slice(0, keep))
      other.add(module, version, text);
    return other;
  }

  /** Hash over the records from `low` to before `high`. */
  hash(low: number, high: number): Buffer {
    const count = high - low;
    if (count === 0) return sha256();
    if (count === 1) return this.#leaves[low] ?? raise(`no record ${low}`);
    const key = `${low} ${high}`;
    const known = this.#complete.get(key);
    if (known) return known;
    let half = 1;
    while (half * 2 < count) half *= 2;
    const left = this.hash(low, low + half);
    const made = sha256(Buffer.of(1), left, this.hash(low + half, high));
    this.#complete.set(key, made);
    return made;
  }

  /** The signed tree of so many records. */
  signed(size: number = this.now): string {
    const known = this.#signed.get(size);
    if (known) return known;
    const root = this.hash(0, size).toString('base64');
    const made = this.signText(`go.sum database tree\n${size}\n${root}\n`);
    this.#signed.set(size, made);
    return made;
  }

  /** A note of whatever text. */
  signText(text: string): string {
    return `${text}\n${this.signer.sign(text)}\n`;
  }

  /** Records in the tree that is signed now. */
  get now(): number {
    return this.size ?? this.entries.length;
  }

  /** Body for a path such as `/lookup/…`. Absent: 404. */
  answer(path: string): Buffer | undefined {
    if (path === '/latest') return Buffer.from(this.signed());
    if (path.startsWith('/lookup/')) return this.#lookup(path.slice('/lookup/'.length));
    const [, level, index, width] = TILE.exec(path) ?? [];
    return level && index
      ? this.#tile(Number(level), numberOf(index), Number(width ?? TILE_WIDTH))
      : undefined;
  }

  #lookup(escaped: string): Buffer | undefined {
    const wanted = escaped.replace(/!([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const id = this.#ids.get(wanted) ?? this.now;
    const entry = this.entries[id];
    return entry && id < this.now
      ? Buffer.from(`${id}\n${entry.text}\n${this.signed()}`)
      : undefined;
  }

  #tile(level: number, index: number, width: number): Buffer | undefined {
    const below = TILE_WIDTH ** level;
    const there = Math.min(TILE_WIDTH, Math.floor(this.now / below) - index * TILE_WIDTH);
    if (width > there || (this.dropsParts && width < there && there === TILE_WIDTH))
      return undefined;
    const first = index * TILE_WIDTH;
    const hashes = Array.from({ length: width }, (_, i) =>
      this.hash((first + i) * below, (first + i + 1) * below),
    );
    return Buffer.concat(hashes);
  }
}

/** A checksum database on loopback that serves a log, and can misbehave. */
export class SumdbServer implements AsyncDisposable {
  /** Paths asked for, in order. */
  readonly requests: string[] = [];
  /** What is served; another may take its place. */
  log: SumdbLog;
  /** Absent: it is honest. */
  spoil: Spoiler | undefined;
  readonly #server: Server;

  private constructor(log: SumdbLog) {
    this.log = log;
    this.#server = createServer((request, response) => {
      // The go command sends an exclamation mark as %21.
      const path = decodeURIComponent(request.url ?? '');
      this.requests.push(path);
      const answer = this.#answer(path) ?? 404;
      if (typeof answer !== 'number') response.end(answer);
      else response.writeHead(answer, { 'Content-Type': 'text/plain' }).end('not here\n');
    });
  }

  static async start(log: SumdbLog): Promise<SumdbServer> {
    const server = new SumdbServer(log);
    const { promise, resolve } = Promise.withResolvers<void>();
    server.#server.listen(0, '127.0.0.1', resolve);
    await promise;
    return server;
  }

  /** Such as `http://127.0.0.1:40001`. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  #answer(path: string): Buffer | number | undefined {
    const body = this.log.answer(path);
    return this.spoil ? this.spoil(path, body) : body;
  }
}

/** Reads a database at an address as a client of it does. */
export function sumdbReader(url: string): SumdbRead {
  return async (path, { signal }) => {
    const answer = await fetch(url + path, { signal: signal ?? null });
    const body = Buffer.from(await answer.arrayBuffer());
    if (answer.status === 404 || answer.status === 410) return undefined;
    if (answer.status !== 200) throw new Error(`${path} was answered ${answer.status}`);
    return body;
  };
}

function rawKey(key: KeyObject): Buffer {
  return Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url');
}

function numberOf(index: string): number {
  return Number(index.replaceAll(/[x/]/g, ''));
}

function sha256(...parts: readonly Buffer[]): Buffer {
  return hash('sha256', Buffer.concat(parts), 'buffer');
}

function raise(message: string): never {
  throw new Error(message);
}
