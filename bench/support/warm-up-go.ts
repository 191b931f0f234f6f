import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expectOk, KeepAliveClient } from './keep-alive-client.ts';

const CONNECTIONS = 2;

/**
 * Asks a module proxy for every file of a GOPROXY folder, so many times, so that what is measured then is not how its
 * code is compiled while it runs.
 */
export async function warmUpGo(url: string, folder: string, times: number): Promise<void> {
  const names = await readdir(folder, { recursive: true });
  const once = names.filter((name) => /@v\/[^/]+\.(info|mod|zip)$/.test(name));
  const all = Array.from({ length: times }, () => once).flat();
  let next = 0;
  const worker = async (): Promise<void> => {
    const client = await KeepAliveClient.connect(url);
    try {
      for (let name = all[next++]; name !== undefined; name = all[next++]) {
        const path = join(new URL(url).pathname, name);
        expectOk(await client.get(path), path);
      }
    } finally {
      client.close();
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, worker));
}
