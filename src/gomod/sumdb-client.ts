import { LRUCache } from 'lru-cache';
import type { CallOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import { escapeGo } from './module-path.ts';
import { openNote, type VerifierKey } from './signed-note.ts';
import { SumdbFault } from './sumdb-fault.ts';
import { sumdbKey } from './sumdb-keys.ts';
import { isSumdbLookup } from './sumdb-path.ts';
import { type ModuleSums, sumsIn } from './sumdb-record.ts';
import { SharedWork } from './sumdb-shared.ts';
import { type SumdbRead, SumdbTiles } from './sumdb-tiles.ts';
import { parseRecord, parseTree, recordHash, type Tree } from './tlog.ts';
import { TreeReader } from './tlog-tree.ts';

/** What a checksum database says of a module's version; proven to stand in its log. */
export interface SumdbRecord extends ModuleSums {
  /** The database's name. */
  readonly database: string;
  readonly module: string;
  readonly version: string;
}

export interface SumdbClientOptions {
  /** First word of GOSUMDB: `name+hash+key`, or the bare name of a database whose key the go command knows. */
  readonly key: string;
  readonly read: SumdbRead;
  /** A signed tree that `signedTree` gave in an earlier run: the log must continue it. Absent: the first tree seen is believed. */
  readonly known?: Buffer | undefined;
  /** Bytes of tiles kept in memory. Absent: 4 MiB. */
  readonly maxTileBytes?: number | undefined;
  /** Bytes of records kept in memory. Absent: 4 MiB. */
  readonly maxRecordBytes?: number | undefined;
}

/** The newest tree believed in, and the note that it was signed with. */
interface Head {
  readonly reader: TreeReader;
  readonly note: Buffer;
}

/** Bytes of a lookup's answer; real ones have under 2 KiB. */
const MAX_LOOKUP = 1024 * 1024;
const DEFAULT_BYTES = 4 * 1024 * 1024;
/** What a record costs beside its texts: map slots, objects. */
const ENTRY_BYTES = 512;
/** Trees known to be part of the log. */
const KNOWN_TREES = 1024;

/**
 * A client of one Go checksum database that believes only what the database's key and log prove
 * (https://go.dev/ref/mod#checksum-database): each tree is signed and continues those seen before, each record stands in it.
 * Where the bytes come from does not matter; what is read once and found good is kept in bounded memory.
 */
export class SumdbClient {
  /** The database's name. */
  readonly name: string;
  readonly #verifier: VerifierKey;
  readonly #read: SumdbRead;
  readonly #tiles: SumdbTiles;
  readonly #records: LRUCache<string, SumdbRecord>;
  readonly #lookups = new SharedWork<SumdbRecord | undefined>();
  readonly #knownTrees = new LRUCache<string, true>({ max: KNOWN_TREES });
  #head: Head | undefined;

  /** Throws `invalid` for a key that is malformed or not known, and for a `known` tree that the key did not sign. */
  constructor(options: SumdbClientOptions) {
    this.#verifier = sumdbKey(options.key);
    this.name = this.#verifier.name;
    this.#read = options.read;
    this.#tiles = new SumdbTiles(options.read, options.maxTileBytes ?? DEFAULT_BYTES);
    this.#records = new LRUCache<string, SumdbRecord>({
      maxSize: options.maxRecordBytes ?? DEFAULT_BYTES,
      sizeCalculation: ({ module, version }) => 2 * (module.length + version.length) + ENTRY_BYTES,
    });
    if (options.known) this.#head = this.#knownHead(options.known);
  }

  /** The signed note of the newest tree seen: the next run's `known`. Absent: none was seen yet. */
  get signedTree(): Buffer | undefined {
    return this.#head?.note;
  }

  /** Bytes of tiles and records kept now. */
  get keptBytes(): number {
    return this.#tiles.size + this.#records.calculatedSize;
  }

  /**
   * The sums of a version, proven. Absent: the database does not know it (404 or 410). Throws `invalid` for what is no module
   * path or canonical version, `integrity` for a wrong signature, proof or log, `upstream` where a tile is missing, and what
   * `read` throws as it is. Who asks for the same at the same time shares one.
   */
  async lookup(
    module: string,
    version: string,
    options: CallOptions = {},
  ): Promise<SumdbRecord | undefined> {
    const path = `/lookup/${escapeGo(module)}@${escapeGo(version)}`;
    if (!isSumdbLookup(path.slice(1)))
      throw new ProxyError(
        'invalid',
        'sumdb-client.lookup',
        `${JSON.stringify(`${module}@${version}`.slice(0, 200))} is no module path with a canonical version`,
      );
    const kept = this.#records.get(path);
    if (kept) return kept;
    const work = async (signal: AbortSignal): Promise<SumdbRecord | undefined> =>
      await this.#ask(path, module, version, signal);
    return await this.#lookups.run(path, work, options.signal);
  }

  async #ask(
    path: string,
    module: string,
    version: string,
    signal: AbortSignal,
  ): Promise<SumdbRecord | undefined> {
    const bytes = await this.#read(path, { signal, maxBytes: MAX_LOOKUP });
    if (bytes === undefined) return undefined;
    try {
      const text = await this.#provenText(bytes, signal);
      const sums = sumsIn(text, module, version);
      const record = { database: this.name, module, version, ...sums };
      this.#records.set(path, record);
      return record;
    } catch (error) {
      if (!(error instanceof SumdbFault)) throw error;
      const message = `${module}@${version}: checksum database ${this.name}: ${error.message}`;
      throw new ProxyError(error.kind, 'sumdb-client.lookup', message, { cause: error });
    }
  }

  /** The text of the record that a lookup gave, once it is known to stand in the log. */
  async #provenText(bytes: Buffer, signal: AbortSignal): Promise<Buffer> {
    if (bytes.length > MAX_LOOKUP) throw new SumdbFault('the answer is larger than 1 MiB');
    const record = parseRecord(bytes);
    if (record === undefined) throw new SumdbFault('the answer is no record with a signed tree');
    const { id, text, rest } = record;
    const reader = await this.#merge(this.#openTree(rest), rest, signal);
    if (id >= reader.tree.size)
      throw new SumdbFault(`record ${id} lies outside the tree of ${reader.tree.size} records`);
    const expected = await reader.recordHash(id, { signal });
    if (!expected.equals(recordHash(text)))
      throw new SumdbFault(`the answer is not record ${id} of the log`);
    return text;
  }

  #openTree(note: Buffer): Tree {
    const tree = parseTree(openNote(note, this.#verifier));
    if (tree === undefined) throw new SumdbFault('the signed note describes no tree');
    return tree;
  }

  /** Checks that a signed tree and the newest one belong to the same log, and gives the reader of the newer of both. */
  async #merge(tree: Tree, note: Buffer, signal: AbortSignal): Promise<TreeReader> {
    // Others may move the head on while tiles are read; then the tree is compared with theirs.
    for (;;) {
      const head = this.#head;
      if (head && tree.size <= head.reader.tree.size) {
        if (!this.#knownTrees.has(treeKey(tree))) await checkPart(tree, head.reader, signal);
        this.#knownTrees.set(treeKey(tree), true);
        return head.reader;
      }
      const reader = new TreeReader(tree, this.#tiles);
      if (head) await checkPart(head.reader.tree, reader, signal);
      if (this.#head !== head) continue;
      this.#head = { reader, note: Buffer.from(note) };
      this.#knownTrees.set(treeKey(tree), true);
      return reader;
    }
  }

  #knownHead(note: Buffer): Head {
    try {
      return { reader: new TreeReader(this.#openTree(note), this.#tiles), note: Buffer.from(note) };
    } catch (error) {
      if (!(error instanceof SumdbFault)) throw error;
      const message = `the tree known of checksum database ${this.name} cannot be used: ${error.message}`;
      throw new ProxyError('invalid', 'sumdb-client.open', message, { cause: error });
    }
  }
}

/** Throws unless a tree is the beginning of a newer one, or the same. */
async function checkPart(older: Tree, newer: TreeReader, signal: AbortSignal): Promise<void> {
  const { size, hash } = newer.tree;
  const then = older.size === size ? hash : await newer.hashAt(older.size, { signal });
  if (then.equals(older.hash)) return;
  throw new SumdbFault(
    `its log forked: signed trees of ${older.size} and ${size} records contradict each other`,
  );
}

function treeKey({ size, hash }: Tree): string {
  return `${size} ${hash.toString('base64')}`;
}
