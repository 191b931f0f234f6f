import type { CallOptions } from '../body.ts';
import { SumdbFault } from './sumdb-fault.ts';
import { joinPeaks, type LogNode, peaksOf, type Tree } from './tlog.ts';
import {
  edgeOf,
  FULL_WIDTH,
  placeOf,
  type Tile,
  type TileData,
  tileIn,
  tilePath,
} from './tlog-tile.ts';

/** Where tiles come from. Nothing of it is believed: each tile is checked against the tree at each use. */
export interface TileSource {
  /** A tile that once was found good. Absent: it must be read. */
  kept(tile: Tile): TileData | undefined;
  /** Reads a tile, of exactly its width. Throws when it cannot. */
  read(tile: Tile, options: CallOptions): Promise<TileData>;
  /** Keeps a tile that was found good. */
  keep(tile: Tile, data: TileData): void;
}

/** Tiles by path. */
type Tiles = ReadonlyMap<string, TileData>;

/**
 * Reads hashes of a log from its tiles, and gives only those that the tree's own hash proves: the right edge must add up to it,
 * and each full tile to the hash that the tile above has for it. Throws `SumdbFault` for tiles that do not.
 */
export class TreeReader {
  readonly tree: Tree;
  readonly #source: TileSource;
  readonly #edge: ReadonlyMap<string, Tile>;
  #proven: Tiles | undefined;

  constructor(tree: Tree, source: TileSource) {
    this.tree = tree;
    this.#source = source;
    this.#edge = new Map(edgeOf(tree.size).map((tile) => [tilePath(tile), tile]));
  }

  /** Hash of the record with this number, which must be below the tree's size. */
  async recordHash(id: number, options: CallOptions): Promise<Buffer> {
    const [hash] = await this.#hashes([{ level: 0, index: id }], options);
    if (hash === undefined) throw new SumdbFault(`the tree has no record ${id}`);
    return hash;
  }

  /** Hash of the tree as it was when it had so many records, at most as many as now. */
  async hashAt(size: number, options: CallOptions): Promise<Buffer> {
    return joinPeaks(await this.#hashes(peaksOf(size), options));
  }

  async #hashes(nodes: readonly LogNode[], options: CallOptions): Promise<Buffer[]> {
    const places = nodes.map(placeOf);
    const inner = new Map<string, Tile>();
    for (const { level, index } of places) this.#addWithParents(inner, level, index);
    // Together, so that a cold look-up waits for one round of reads only.
    const [edge, found] = await Promise.all([
      this.#provenEdge(options),
      readAll(inner, this.#source, options),
    ]);
    const proven = new Map(edge);
    for (const [path, tile] of inner)
      proven.set(path, await this.#provenInner(tile, proven, found, options));
    return places.map(({ level, index, first, count }) =>
      this.#data(proven, level, index).hashOf(first, count),
    );
  }

  /** Adds a full tile and all full tiles above it, parents first. */
  #addWithParents(tiles: Map<string, Tile>, level: number, index: number): void {
    const tile = this.#tile(level, index);
    const path = tilePath(tile);
    if (tile.width < FULL_WIDTH || tiles.has(path)) return;
    this.#addWithParents(tiles, level + 1, Math.floor(index / FULL_WIDTH));
    tiles.set(path, tile);
  }

  async #provenEdge(options: CallOptions): Promise<Tiles> {
    if (this.#proven) return this.#proven;
    const kept = [...this.#edge.values()].some((tile) => this.#source.kept(tile));
    let edge: Tiles = await readAll(this.#edge, this.#source, options);
    // What is kept may be of a log that went another way; only what is read now tells whether the tree is wrong.
    if (kept && !this.#addsUp(edge))
      edge = await readAll(this.#edge, this.#source, options, 'anew');
    if (!this.#addsUp(edge))
      throw new SumdbFault(`the tiles do not add up to the tree of ${this.tree.size} records`);
    for (const [path, tile] of this.#edge) {
      const data = edge.get(path);
      if (data) this.#source.keep(tile, data);
    }
    this.#proven = edge;
    return edge;
  }

  #addsUp(edge: Tiles): boolean {
    const hashes = peaksOf(this.tree.size).map((node) => {
      const { level, index, first, count } = placeOf(node);
      return this.#data(edge, level, index).hashOf(first, count);
    });
    return joinPeaks(hashes).equals(this.tree.hash);
  }

  async #provenInner(
    tile: Tile,
    proven: Tiles,
    found: Tiles,
    options: CallOptions,
  ): Promise<TileData> {
    const path = tilePath(tile);
    const parent = this.#data(proven, tile.level + 1, Math.floor(tile.index / FULL_WIDTH));
    const expected = parent.hashOf(tile.index % FULL_WIDTH, 1);
    let data = found.get(path);
    if (data?.root.equals(expected) !== true && this.#source.kept(tile))
      data = await this.#source.read(tile, options);
    if (data?.root.equals(expected) !== true)
      throw new SumdbFault(`${path} does not belong to the tree of ${this.tree.size} records`);
    this.#source.keep(tile, data);
    return data;
  }

  #data(tiles: Tiles, level: number, index: number): TileData {
    const data = tiles.get(tilePath(this.#tile(level, index)));
    if (data === undefined) throw new Error(`tile ${level}/${index} was not read`);
    return data;
  }

  #tile(level: number, index: number): Tile {
    const tile = tileIn(this.tree.size, level, index);
    if (tile === undefined)
      throw new SumdbFault(`the tree of ${this.tree.size} records does not reach so far`);
    return tile;
  }
}

async function readAll(
  tiles: ReadonlyMap<string, Tile>,
  source: TileSource,
  options: CallOptions,
  how: 'anew' | 'kept' = 'kept',
): Promise<Tiles> {
  const entries = [...tiles].map(async ([path, tile]) => {
    const kept = how === 'kept' ? source.kept(tile) : undefined;
    return [path, kept ?? (await source.read(tile, options))] as const;
  });
  return new Map(await Promise.all(entries));
}
