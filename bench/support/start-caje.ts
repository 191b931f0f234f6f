import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Server, startProcess } from './start-process.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** How one node is set up. */
export interface CajeOptions {
  /** Folder of its own, for configuration and data. */
  readonly folder: string;
  /** Settings of the one fetcher, which is named `site`, as in the configuration. */
  readonly fetcher: Readonly<Record<string, unknown>>;
  /** Rules as in the configuration. Absent: one that sends everything to the fetcher. */
  readonly rules?: readonly Readonly<Record<string, unknown>>[] | undefined;
  /** Whether blocks are checked before they are sent. Absent: as by default. */
  readonly verify?: boolean | undefined;
  /** Keys of the configuration beside the usual ones, or in their place. */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
  /** Token under which others may ask its peer listener. Absent: it has none. */
  readonly peerToken?: string | undefined;
}

/** A running node. */
export interface CajeServer extends Server {
  /** Absent: it has no peer listener. */
  readonly peerUrl: string | undefined;
}

/**
 * Starts a node on free ports, with one fetcher. `CAJE_BENCH_COMMAND` names
 * another program than `bin/caje`; `CAJE_BENCH_PROFILE` a folder that takes its CPU profiles.
 */
export async function startCaje(options: CajeOptions): Promise<CajeServer> {
  const { folder } = options;
  await mkdir(folder, { recursive: true });
  const tokenFile = join(folder, 'peer-token');
  if (options.peerToken !== undefined) await writeFile(tokenFile, options.peerToken);
  const config = {
    data: join(folder, 'data'),
    listen: {
      public: '127.0.0.1:0',
      ...(options.peerToken !== undefined && { peer: '127.0.0.1:0' }),
    },
    log: { level: 'info', access: false },
    ...(options.peerToken !== undefined && {
      cluster: { tokens: [{ name: 'neighbour', file: tokenFile }] },
    }),
    storage: {
      local: {
        type: 'disk',
        path: 'blobs',
        ...(options.verify !== undefined && { verify: options.verify }),
      },
    },
    fetchers: { site: options.fetcher },
    rules: options.rules ?? [{ name: 'site', path: '/*', protocol: 'http', fetch: 'site' }],
    ...options.config,
  };
  const file = join(folder, 'caje.yaml');
  // JSON is YAML.
  await writeFile(file, JSON.stringify(config, null, 2));
  const profile = process.env['CAJE_BENCH_PROFILE'];
  const listeners = new Map<string, string>();
  const server = await startProcess({
    command: process.env['CAJE_BENCH_COMMAND'] ?? join(ROOT, 'bin', 'caje'),
    args: ['serve', '--config', file],
    cwd: folder,
    env: {
      ...(profile !== undefined && {
        NODE_OPTIONS: `--cpu-prof --cpu-prof-interval=5000 --cpu-prof-dir=${profile}`,
      }),
    },
    urlIn: (line) => {
      const said = listening(line);
      if (said) listeners.set(said.listener, said.url);
      const missing = options.peerToken !== undefined && !listeners.has('peer');
      return missing ? undefined : listeners.get('public');
    },
  });
  return { ...server, peerUrl: listeners.get('peer') };
}

function listening(line: string): { listener: string; url: string } | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const said = JSON.parse(line) as { msg?: string; listener?: string; url?: string };
    if (said.msg !== 'listening' || !said.listener || !said.url) return undefined;
    return { listener: said.listener, url: said.url };
  } catch {
    return undefined;
  }
}
