import { open } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { digestBytes } from '../../src/storage/digest.ts';
import type { SoakSite } from './soak-site.ts';

/** Digests of what a node has stored, by the path and query that it was asked for. */
export async function storedDigests(site: SoakSite): Promise<ReadonlyMap<string, string>> {
  const entries = (await site.control('ls')) as readonly { key: string; digest: string }[];
  return new Map(
    entries.map(({ key, digest }) => [key.slice(key.indexOf('/', 'http://'.length)), digest]),
  );
}

/** Where the file of a body lies. */
export function bodyPath(site: SoakSite, digest: string): string {
  return join(site.node.dataDir, 'blobs', digest.slice(0, 2), digest);
}

/** Flips one bit, 0 to 7, of one byte of a stored body, whether it is a file or lies in the node's database. */
export async function flipAt(
  site: SoakSite,
  digest: string,
  offset: number,
  bit: number,
): Promise<void> {
  const mask = 1 << bit;
  const file = await open(bodyPath(site, digest), 'r+').catch(() => undefined);
  if (file === undefined) {
    flipSmall(join(site.node.dataDir, 'node.db'), digest, offset, mask);
    return;
  }
  try {
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, offset);
    byte.writeUInt8(byte.readUInt8() ^ mask);
    await file.write(byte, 0, 1, offset);
  } finally {
    await file.close();
  }
}

function flipSmall(path: string, digest: string, offset: number, mask: number): void {
  const database = new Database(path);
  try {
    const where = 'id = (SELECT place FROM blobs WHERE digest = ?)';
    const id = digestBytes(digest as Parameters<typeof digestBytes>[0]);
    const body = database
      .prepare<[Buffer], Buffer>(`SELECT body FROM small_bodies WHERE ${where}`)
      .pluck()
      .get(id) as Buffer | undefined;
    if (body === undefined) throw new Error(`there is no body ${digest}`);
    body.writeUInt8(body.readUInt8(offset) ^ mask, offset);
    database.prepare(`UPDATE small_bodies SET body = ? WHERE ${where}`).run(body, id);
  } finally {
    database.close();
  }
}
