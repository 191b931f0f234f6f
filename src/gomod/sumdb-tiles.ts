import { LRUCache } from 'lru-cache';
import type { CallOptions } from '../body.ts';
import { SumdbFault } from './sumdb-fault.ts';
import { SharedWork } from './sumdb-shared.ts';
import { HASH_SIZE } from './tlog.ts';
import { FULL_WIDTH, type Tile, TileData, tilePath } from './tlog-tile.ts';
import type { TileSource } from './tlog-tree.ts';

/** What a read of a checksum database is told. */
export interface SumdbReadOptions extends CallOptions {
  /** An answer with more bytes than these is refused, so a reader need not gather more than one above. */
  readonly maxBytes: number;
}

/**
 * Bytes at a path of a checksum database, with its leading slash: `/lookup/M@V`, `/tile/8/L/K[.p/W]`. Absent: 404 or 410.
 * Throws for everything else that is no success.
 */
export type SumdbRead = (path: string, options: SumdbReadOptions) => Promise<Buffer | undefined>;

/** What a tile costs beside its bytes: key, map slots, objects. */
const ENTRY_BYTES = 512;

/** Tiles of one database: read once for all who ask at a time, and kept in bounded memory once they were found good. */
export class SumdbTiles implements TileSource {
  readonly #read: SumdbRead;
  readonly #reads = new SharedWork<Buffer | undefined>();
  readonly #kept: LRUCache<string, TileData>;

  /** `maxBytes`: of kept tiles, with what keeping them costs. */
  constructor(read: SumdbRead, maxBytes: number) {
    this.#read = read;
    const sizeCalculation = (data: TileData): number => data.size + ENTRY_BYTES;
    this.#kept = new LRUCache({ maxSize: maxBytes, sizeCalculation });
  }

  /** Bytes used now. */
  get size(): number {
    return this.#kept.calculatedSize;
  }

  kept(tile: Tile): TileData | undefined {
    return this.#kept.get(tilePath(tile));
  }

  keep(tile: Tile, data: TileData): void {
    this.#kept.set(tilePath(tile), data);
  }

  async read(tile: Tile, options: CallOptions): Promise<TileData> {
    let bytes = await this.#bytes(tile, options);
    // A database may drop what it served of a tile once the tile is full.
    if (bytes === undefined && tile.width < FULL_WIDTH)
      bytes = await this.#bytes({ ...tile, width: FULL_WIDTH }, options);
    if (bytes === undefined) throw new SumdbFault(`${tilePath(tile)} is missing`, 'upstream');
    return new TileData(copyOf(bytes.subarray(0, tile.width * HASH_SIZE)));
  }

  async #bytes(tile: Tile, { signal }: CallOptions): Promise<Buffer | undefined> {
    const path = tilePath(tile);
    const maxBytes = tile.width * HASH_SIZE;
    const bytes = await this.#reads.run(
      path,
      async (ending) => await this.#read(path, { signal: ending, maxBytes }),
      signal,
    );
    if (bytes && bytes.length !== maxBytes)
      throw new SumdbFault(`${path} has a length other than ${maxBytes} bytes`);
    return bytes;
  }
}

// A view would keep the whole buffer behind it alive.
function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
