import { accessSync, constants } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { startCaje } from './start-caje.ts';
import { freePort, startNginxCache } from './start-nginx.ts';
import { type Server, startProcess } from './start-process.ts';

/** A module proxy under measurement. Disposing stops it. */
export interface GoPeer extends AsyncDisposable {
  readonly name: string;
  /** Of the process that serves now. */
  readonly pid: number;
  /** The GOPROXY address of a run, at which the proxy has nothing yet; without a slash at the end. */
  empty(run: number): Promise<string>;
}

/** How the peers are set up. */
export interface GoPeersOptions {
  /** Folder of their own. */
  readonly folder: string;
  /** A registry that takes a path with and without the number of a run before it. */
  readonly originUrl: string;
  /** Runs are numbered from 0 up to here. */
  readonly runs: number;
  /** Whether there is a second caje too, which does not check blocks before it sends them. Absent: there is none. */
  readonly unverified?: boolean | undefined;
  /** Name of the checksum database that is passed through, which the registry has below `/sumdb/<name>`. Absent: none. */
  readonly sumdb?: string | undefined;
}

/**
 * caje, nginx proxy_cache, and goproxy and Athens where their programs (`goproxy`; `athens` or `athens-proxy`) are on
 * PATH. caje and nginx stay up, with a namespace or a path of its own for each run; the others begin anew, as each of
 * their stores knows one path only. Athens takes no checksum database on loopback and is left out where one is asked.
 */
export async function startGoPeers(
  options: GoPeersOptions,
  stack: AsyncDisposableStack,
): Promise<readonly GoPeer[]> {
  const { folder, originUrl, sumdb } = options;
  const peers = [stack.use(await startNode('caje', options))];
  if (options.unverified) {
    peers.push(stack.use(await startNode('caje, verify: false', options, false)));
  }
  const nginx = await startNginxCache(join(folder, 'nginx'), originUrl);
  peers.push(stack.use(lasting('nginx', nginx)));
  for (const { name, programs, passesSumdb, start } of RESTARTED) {
    const program = programs.map(onPath).find((path) => path !== undefined);
    if (program === undefined || (sumdb !== undefined && !passesSumdb)) continue;
    const begin = async (run: number): Promise<Server> => {
      const own = join(folder, `${name}-${run}`);
      await mkdir(own, { recursive: true });
      return await start({ program, folder: own, originUrl, sumdb, port: await freePort() });
    };
    peers.push(stack.use(await restarted(name, begin)));
  }
  return peers;
}

async function startNode(
  name: string,
  { folder, originUrl, runs, sumdb }: GoPeersOptions,
  verify?: boolean,
): Promise<GoPeer> {
  const server = await startCaje({
    folder: join(folder, verify === undefined ? 'caje' : 'caje-unverified'),
    fetcher: { type: 'upstreams', list: originUrl },
    verify,
    rules: Array.from({ length: runs }, (_, run) => ({
      name: `go-${run}`,
      namespace: `go-${run}`,
      path: `/${run}/*`,
      strip: true,
      protocol: 'go',
      fetch: 'site',
      sumdb: sumdb === undefined ? [] : [{ name: sumdb }],
    })),
  });
  return lasting(name, server);
}

function lasting(name: string, server: Server): GoPeer {
  return {
    name,
    pid: server.pid,
    empty: async (run) => `${server.url}/${run}`,
    [Symbol.asyncDispose]: async () => await server[Symbol.asyncDispose](),
  };
}

async function restarted(name: string, begin: (run: number) => Promise<Server>): Promise<GoPeer> {
  let at = 0;
  let server = await begin(at);
  return {
    name,
    get pid() {
      return server.pid;
    },
    empty: async (run) => {
      if (run !== at) {
        await server[Symbol.asyncDispose]();
        at = run;
        server = await begin(run);
      }
      return server.url;
    },
    [Symbol.asyncDispose]: async () => await server[Symbol.asyncDispose](),
  };
}

interface StartOptions {
  readonly program: string;
  readonly folder: string;
  readonly originUrl: string;
  readonly sumdb: string | undefined;
  readonly port: number;
}

interface Restarted {
  readonly name: string;
  readonly programs: readonly string[];
  readonly passesSumdb: boolean;
  readonly start: (options: StartOptions) => Promise<Server>;
}

/** The go command that they start asks the origin alone. */
const GO_ENV = { GOSUMDB: 'off', GONOSUMDB: '*', GOENV: 'off', GOTOOLCHAIN: 'local' };

const RESTARTED: readonly Restarted[] = [
  {
    name: 'goproxy',
    programs: ['goproxy'],
    passesSumdb: true,
    start: async ({ program, folder, originUrl, sumdb, port }) =>
      await startProcess({
        command: program,
        args: [
          ...['server', '--address', `127.0.0.1:${port}`],
          ...['--cacher-dir', join(folder, 'cache'), '--temp-dir', folder],
          ...(sumdb === undefined
            ? []
            : ['--proxied-sumdbs', `${sumdb} ${originUrl}/sumdb/${sumdb}`]),
        ],
        cwd: folder,
        env: { ...GO_ENV, GOPROXY: originUrl },
        url: `http://127.0.0.1:${port}`,
      }),
  },
  {
    name: 'Athens',
    programs: ['athens', 'athens-proxy'],
    passesSumdb: false,
    start: async ({ program, folder, originUrl, port }) => {
      const root = join(folder, 'store');
      await mkdir(root);
      const goEnv = Object.entries({ ...GO_ENV, GOPROXY: originUrl });
      return await startProcess({
        command: program,
        args: [],
        cwd: folder,
        env: {
          ATHENS_PORT: `127.0.0.1:${port}`,
          ATHENS_STORAGE_TYPE: 'disk',
          ATHENS_DISK_STORAGE_ROOT: root,
          ATHENS_GOGET_DIR: folder,
          ATHENS_LOG_LEVEL: 'error',
          ATHENS_GO_BINARY_ENV_VARS: goEnv.map(([key, value]) => `${key}=${value}`).join(';'),
        },
        url: `http://127.0.0.1:${port}`,
      });
    },
  },
];

function onPath(program: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
