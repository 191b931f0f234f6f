import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

/** A secret that nodes share, and the parts of their configurations that use it. */
export interface PeerConfig extends AsyncDisposable {
  /** For the node that is asked: a peer listener that knows the secret. */
  readonly listening: Readonly<Record<string, unknown>>;
  /** For the node that asks: a fetcher for the peer listener at this address. */
  asking(url: string): Record<string, unknown>;
}

/** Makes a secret, and a file of it. */
export async function peerConfig(): Promise<PeerConfig> {
  const folder: TempFolder = await tempFolder();
  const token = randomBytes(32).toString('hex');
  const file = join(folder.path, 'token');
  await writeFile(file, token, { mode: 0o600 });
  return {
    listening: {
      listen: { public: '127.0.0.1:0', peer: '127.0.0.1:0' },
      cluster: { tokens: [{ name: 'other', file }] },
    },
    asking: (url) => ({ type: 'peer', url, token }),
    [Symbol.asyncDispose]: async () => await folder[Symbol.asyncDispose](),
  };
}
