import { HASH_SIZE, type LogNode, subtreeHash } from './tlog.ts';

/** A piece of a log: `width` neighbouring hashes of subtrees of 256^level records, from the `index` × 256th on. */
export interface Tile {
  readonly level: number;
  readonly index: number;
  /** 1 to 256; 256 is a full tile, which never changes. */
  readonly width: number;
}

/** Where the hash of a subtree comes from: `count` neighbouring hashes of a tile, from the `first`. */
export interface TilePlace {
  readonly level: number;
  readonly index: number;
  readonly first: number;
  readonly count: number;
}

/** Levels of a log's tree in one tile: 8, as the go command has it. */
export const TILE_HEIGHT: number = 8;
/** Hashes in a full tile. */
export const FULL_WIDTH: number = 2 ** TILE_HEIGHT;

const PATH_BASE = 1000;

/** The hashes of a tile. */
export class TileData {
  readonly #bytes: Buffer;
  #root: Buffer | undefined;

  /** `bytes`: 32 for each hash of the tile's width. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get size(): number {
    return this.#bytes.length;
  }

  /** Hash of all that lies below a full tile; made once. */
  get root(): Buffer {
    this.#root ??= subtreeHash(this.#bytes);
    return this.#root;
  }

  /** Hash of the complete subtree above so many neighbouring hashes, which the tile must have. */
  hashOf(first: number, count: number): Buffer {
    return subtreeHash(this.#bytes.subarray(first * HASH_SIZE, (first + count) * HASH_SIZE));
  }
}

/** Path of a tile below the database's address, such as `/tile/8/0/x001/234.p/17`. As x/mod Tile.Path. */
export function tilePath({ level, index, width }: Tile): string {
  let path = digits(index % PATH_BASE);
  for (let left = Math.floor(index / PATH_BASE); left > 0; left = Math.floor(left / PATH_BASE))
    path = `x${digits(left % PATH_BASE)}/${path}`;
  const part = width === FULL_WIDTH ? '' : `.p/${width}`;
  return `/tile/${TILE_HEIGHT}/${level}/${path}${part}`;
}

/** The tile at a place, as wide as a tree of so many records makes it. Absent: the tree does not reach so far. */
export function tileIn(size: number, level: number, index: number): Tile | undefined {
  const hashes = Math.floor(size / FULL_WIDTH ** level);
  const width = Math.min(FULL_WIDTH, hashes - index * FULL_WIDTH);
  return width > 0 ? { level, index, width } : undefined;
}

/** The tiles at the right edge of a tree: they are not full, and their hashes make up the tree's own. */
export function edgeOf(size: number): Tile[] {
  const edge: Tile[] = [];
  for (
    let level = 0, hashes = size;
    hashes > 0;
    level++, hashes = Math.floor(hashes / FULL_WIDTH)
  ) {
    const width = hashes % FULL_WIDTH;
    if (width > 0) edge.push({ level, index: Math.floor(hashes / FULL_WIDTH), width });
  }
  return edge;
}

/** Where the hash of a complete subtree comes from. */
export function placeOf({ level, index }: LogNode): TilePlace {
  const count = 2 ** (level % TILE_HEIGHT);
  const start = index * count;
  return {
    level: Math.floor(level / TILE_HEIGHT),
    index: Math.floor(start / FULL_WIDTH),
    first: start % FULL_WIDTH,
    count,
  };
}

function digits(number: number): string {
  return String(number).padStart(3, '0');
}
