import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const GRAPH = fileURLToPath(new URL('../fixtures/go-graph/', import.meta.url));
/** Where Linux has memory as a folder. */
const MEMORY = '/dev/shm';
/** A port that nothing listens on. */
const NOWHERE = 'http://127.0.0.1:1';
const COMMAND_MS = 300_000;
const OUTPUT_BYTES = 16 * 1024 * 1024;

/** A folder in memory where there is one, so that the client's disk is not what is measured. */
export async function memoryFolder(): Promise<string> {
  return await mkdtemp(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'caje-bench-'));
}

/** Versions in the graph whose zip is downloaded: those that its go.sum has the digest of. */
export async function graphModules(): Promise<number> {
  const sums = await readFile(join(GRAPH, 'go.sum'), 'utf8');
  return sums.split('\n').filter((line) => line !== '' && !line.includes('/go.mod h1:')).length;
}

/** What a download is told besides its graph. */
export interface DownloadOptions {
  /** Folder that becomes GOPATH. It should be empty. */
  readonly folder: string;
  /** Settings of the go command besides those that keep it to itself. */
  readonly env: Readonly<Record<string, string>>;
  /** Whether there is no go.sum, so that a checksum database is asked for every digest. */
  readonly withoutSums?: boolean | undefined;
}

/**
 * Runs `go mod download all` for the graph of `bench/fixtures/go-graph`; the modules come to lie in `mod` of the
 * folder. Every file is held against go.sum or the checksum database by the go command. Gives seconds. Throws when a zip is missing.
 */
export async function downloadGraph({
  folder,
  env,
  withoutSums,
}: DownloadOptions): Promise<number> {
  const project = join(folder, 'project');
  await mkdir(project, { recursive: true });
  for (const name of withoutSums ? ['go.mod'] : ['go.mod', 'go.sum']) {
    await copyFile(join(GRAPH, name), join(project, name));
  }
  const startedAt = performance.now();
  await go(project, ['mod', 'download', 'all'], {
    GOENV: 'off',
    GOFLAGS: '-modcacherw',
    GOMODCACHE: join(folder, 'mod'),
    GOPATH: folder,
    GOTELEMETRY: 'off',
    GOTOOLCHAIN: 'local',
    GOWORK: 'off',
    ...env,
  });
  const seconds = (performance.now() - startedAt) / 1000;
  const files = await readdir(join(folder, 'mod', 'cache', 'download'), { recursive: true });
  const zips = files.filter((name) => name.endsWith('.zip')).length;
  const expected = await graphModules();
  if (zips !== expected) throw new Error(`${zips} zips were downloaded: expected ${expected}`);
  return seconds;
}

/**
 * Downloads the graph through one module proxy alone into an empty cache in memory, which is removed. With the name of
 * a checksum database there is no go.sum, and the database is asked through the proxy. Gives seconds.
 */
export async function downloadThrough(proxyUrl: string, sumdb?: string): Promise<number> {
  const folder = await memoryFolder();
  const env = {
    GONOPROXY: '',
    GONOSUMDB: sumdb === undefined ? '*' : '',
    GOPRIVATE: '',
    GOPROXY: proxyUrl,
    GOSUMDB: sumdb ?? 'off',
    // What would go round the proxy ends there: the go command asks loopback addresses directly.
    HTTP_PROXY: NOWHERE,
    HTTPS_PROXY: NOWHERE,
    NO_PROXY: '',
  };
  try {
    return await downloadGraph({ folder, env, withoutSums: sumdb !== undefined });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** One setting of this machine's go command. Throws when there is none. */
export async function goSetting(name: string): Promise<string> {
  return (await go(tmpdir(), ['env', name], { GOTOOLCHAIN: 'local', GOWORK: 'off' })).trim();
}

async function go(
  cwd: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const options = { cwd, env: { ...process.env, ...env }, timeout: COMMAND_MS };
  const { stdout } = await run('go', args, { ...options, maxBuffer: OUTPUT_BYTES });
  return stdout;
}
