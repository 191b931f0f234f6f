import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, ProxyError } from './errors.ts';

/** Who a node is and where it keeps things. */
export interface NodeIdentity {
  /** Own name in Via and CDN-Loop: `caje-` and 16 hex characters. */
  readonly nodeId: string;
  /** Absolute path of the data folder. */
  readonly dataDir: string;
  /** Control socket of the node on this folder that this process works beside and hands its changes to. Absent: it is the node. */
  readonly guestOf?: string | undefined;
}

const NAME = /^caje-[0-9a-f]{16}$/;

/**
 * Opens a data folder (0750), making it and the node's name on the first start. Throws `unavailable` naming the folder and
 * what to change when it cannot be written.
 */
export function openDataFolder(dataDir: string): NodeIdentity {
  const path = join(dataDir, 'node-id');
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o750 });
    return { dataDir, nodeId: readName(path) ?? makeName(path) };
  } catch (error) {
    const code = codeOf(error) ?? 'an error';
    throw new ProxyError(
      'unavailable',
      'node-identity.open',
      `the data folder ${dataDir} cannot be used (${code}): name another as "data" or give this user leave to write there`,
      { cause: error },
    );
  }
}

function readName(path: string): string | undefined {
  try {
    const name = readFileSync(path, 'utf8').trim();
    return NAME.test(name) ? name : undefined;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function makeName(path: string): string {
  const name = `caje-${randomBytes(8).toString('hex')}`;
  writeFileSync(path, `${name}\n`, { mode: 0o640 });
  return name;
}
