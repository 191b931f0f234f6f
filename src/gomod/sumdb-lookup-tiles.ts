import { parseRecord, parseTree } from './tlog.ts';
import { edgeOf, FULL_WIDTH, tileIn, tilePath } from './tlog-tile.ts';

/** What the answer to a lookup says about its database's log. */
export interface LookupTree {
  /** Number of the record, from 0. */
  readonly id: number;
  /** Records in the log when the answer was signed. */
  readonly size: number;
}

/** Reads the record's number and the tree's size from the answer to a lookup; nothing is verified. Absent: it is none. */
export function readLookupTree(answer: Buffer): LookupTree | undefined {
  const record = parseRecord(answer);
  const tree = record && parseTree(record.rest);
  if (record === undefined || tree === undefined || record.id >= tree.size) return undefined;
  return { id: record.id, size: tree.size };
}

/**
 * Paths of the tiles with which a client proves these lookups, in whichever order it asks: those above each record and above
 * the end of each tree, and the unfinished ones at the edge of each tree. As x/mod tlog.TileHashReader reads them.
 */
export function tilesOf(lookups: Iterable<LookupTree>): ReadonlySet<string> {
  const sizes = new Set<number>();
  const places = new Set<number>();
  for (const { id, size } of lookups) {
    sizes.add(size);
    places.add(id).add(size);
  }
  const paths = new Set<string>();
  const last = Math.max(0, ...sizes);
  for (let level = 0, span = FULL_WIDTH; span <= last; level += 1, span *= FULL_WIDTH) {
    for (const place of places) {
      const tile = tileIn(last, level, Math.floor(place / span));
      if (tile?.width === FULL_WIDTH) paths.add(tilePath(tile));
    }
  }
  for (const size of sizes) for (const tile of edgeOf(size)) paths.add(tilePath(tile));
  return paths;
}

/** The full tile of which this is an unfinished state. Absent: it is full. */
export function fullTileOf(path: string): string | undefined {
  const at = path.lastIndexOf('.p/');
  return at < 0 ? undefined : path.slice(0, at);
}
