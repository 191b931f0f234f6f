import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { layCredential, type VcsCredential } from './go-vcs-credentials.ts';
import type { GoImports, VcsRepository } from './go-vcs-imports.ts';
import { forwardProxyOf, PROXY_VARIABLES } from './go-vcs-proxy.ts';
import type { Environment } from './http-proxy.ts';

/** What the jobs of one fetcher have in common. */
export interface VcsSurroundings {
  /** Of this process; of it only PATH and the proxies are passed on. */
  readonly env: Environment;
  /** Where relative paths of the configuration start. */
  readonly baseDir: string;
  /** PEM file of all authorities that are trusted. Absent: those of the system. */
  readonly ca?: string | undefined;
  /** Milliseconds that a job may take. */
  readonly timeoutMs: number;
  readonly imports: GoImports;
}

/** The folder of some jobs, and for which modules they are. */
export interface HomeOptions {
  /** Absolute path of a folder that is there and empty. */
  readonly folder: string;
  /** Host of the module path: `corp.example.com`. */
  readonly host: string;
  readonly repository?: VcsRepository | undefined;
  readonly credential?: VcsCredential | undefined;
}

/** What programs in a folder are run with. */
export interface VcsHome {
  /** Their whole environment, but for GOMODCACHE. */
  readonly env: Readonly<Record<string, string>>;
  /** Texts that nobody may be shown. */
  readonly secrets: readonly string[];
}

/** Hosts whose repositories the go command finds by the path alone: it asks no `?go-get=1`. */
const STATIC_HOSTS = new Set(['github.com', 'bitbucket.org']);

/** Lays a home of its own into a folder: nothing of the account that the node runs as is read, and nothing of it is written. */
export async function layHome(around: VcsSurroundings, options: HomeOptions): Promise<VcsHome> {
  const { folder, repository, credential } = options;
  const home = join(folder, 'home');
  const telemetry = join(home, '.config', 'go', 'telemetry');
  for (const path of [telemetry, join(folder, 'tmp'), join(folder, 'work')]) {
    await mkdir(path, { recursive: true, mode: 0o700 });
  }
  // Without it each new home counts, and starts a further process to do so.
  await writeFile(join(telemetry, 'mode'), 'off');
  const config = join(home, '.gitconfig');
  await writeFile(config, gitConfig(around, options), { mode: 0o600 });
  const laid = await layCredential(credential, {
    home,
    host: repository?.url.hostname ?? options.host,
    baseDir: around.baseDir,
  });
  const env = {
    PATH: around.env['PATH'] ?? '',
    HOME: home,
    // What failed is told apart by its text.
    LC_ALL: 'C',
    TMPDIR: join(folder, 'tmp'),
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: config,
    GIT_TERMINAL_PROMPT: '0',
    GIT_SSH_COMMAND: laid.ssh,
    GOPATH: join(folder, 'gopath'),
    GOCACHE: join(folder, 'build'),
    GOTMPDIR: join(folder, 'tmp'),
    GOENV: 'off',
    GOFLAGS: '-mod=mod -modcacherw',
    GONOSUMDB: '*',
    GOPROXY: 'direct',
    GOSUMDB: 'off',
    GOTOOLCHAIN: 'local',
    GOVCS: '*:git',
    GOWORK: 'off',
    ...(around.ca !== undefined && { GIT_SSL_CAINFO: around.ca, SSL_CERT_FILE: around.ca }),
    ...(await proxies(around, repository)),
  };
  return { env, secrets: laid.secrets };
}

/** A mapped module's host is never asked: the go command meets our own answer in its place, and git has its proxy from its file. */
async function proxies(
  { env, imports }: VcsSurroundings,
  repository: VcsRepository | undefined,
): Promise<Record<string, string>> {
  if (repository !== undefined) {
    const proxy = await imports.proxy();
    return { HTTP_PROXY: proxy, HTTPS_PROXY: proxy, GOINSECURE: repository.prefix };
  }
  const passed: Record<string, string> = {};
  for (const name of PROXY_VARIABLES) {
    const value = env[name];
    if (value !== undefined) passed[name] = value;
  }
  return passed;
}

function gitConfig(around: VcsSurroundings, options: HomeOptions): string {
  const { repository, credential, host } = options;
  const seconds = Math.max(1, Math.ceil(around.timeoutMs / 1000));
  const lines = [
    // A child whose node died ends by itself when its server has nothing to say.
    '[http]',
    'lowSpeedLimit = 1',
    `lowSpeedTime = ${seconds}`,
    '[credential]',
    'helper =',
    // Nothing may go on behind our back in a folder that is about to be removed.
    '[gc]',
    'auto = 0',
    'autoDetach = false',
    '[maintenance]',
    'auto = false',
    '[protocol]',
    'allow = never',
    ...['https', 'http', 'ssh'].flatMap((name) => [`[protocol "${name}"]`, 'allow = always']),
  ];
  if (repository !== undefined) {
    const { prefix, url } = repository;
    lines.push('[http]', `proxy = ${quoted(forwardProxyOf(url, around.env))}`);
    const found = STATIC_HOSTS.has(host) || prefix.endsWith('.git');
    const usual = `https://${prefix.replace(/\.git$/, '')}`;
    if (found && !url.href.startsWith(usual)) {
      lines.push(`[url ${quoted(url.href)}]`, `insteadOf = ${quoted(usual)}`);
    }
  } else if (credential?.sshKey !== undefined) {
    lines.push(
      `[url ${quoted(`ssh://git@${host}/`)}]`,
      `insteadOf = ${quoted(`https://${host}/`)}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

function quoted(value: string): string {
  return `"${value.replaceAll(/["\\]/g, '\\$&')}"`;
}
