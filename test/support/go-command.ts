import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { cleanEnv } from './run-caje.ts';

/** How a go command ended. */
export interface GoResult {
  /** Absent: a signal ended it. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a client's go command is told. */
export interface GoClientOptions {
  /** The client's folders are made in it. */
  readonly folder: string;
  /** A GOPROXY list. */
  readonly proxy: string;
  /** Where builds are kept; several clients may share it. Absent: the client's own. */
  readonly buildCache?: string | undefined;
  /** Besides what the client sets. */
  readonly env?: Readonly<Record<string, string>> | undefined;
}

const COMMAND_MS = 300_000;
/** A port that nothing listens on: what would go round the node ends there. */
const NOWHERE = 'http://127.0.0.1:1';

/** Why the go command cannot be run here. Absent: it can. */
export function goMissing(): string | undefined {
  const { error, status } = spawnSync('go', ['version']);
  if (error === undefined && status === 0) return undefined;
  return 'there is no go command: install Go 1.25 or newer';
}

/** One setting of this machine's go command. */
export function goSetting(name: string): string {
  return spawnSync('go', ['env', name], { encoding: 'utf8' }).stdout.trim();
}

/** A go command with empty caches of its own that reaches nothing but its module proxies. */
export class GoClient {
  /** Downloaded modules. */
  readonly modules: string;
  /** Where `go install` puts programs. */
  readonly bin: string;
  readonly #env: NodeJS.ProcessEnv;

  private constructor(folder: string, options: GoClientOptions) {
    this.modules = join(folder, 'mod');
    this.bin = join(folder, 'bin');
    this.#env = {
      ...cleanEnv(),
      CGO_ENABLED: '0',
      GOBIN: this.bin,
      GOCACHE: options.buildCache ?? join(folder, 'build'),
      GOENV: 'off',
      // Without folders in it what one client built serves the next.
      GOFLAGS: '-modcacherw -buildvcs=false -trimpath',
      GOMODCACHE: this.modules,
      GONOPROXY: '',
      GONOSUMDB: '',
      GOPATH: folder,
      GOPRIVATE: '',
      GOPROXY: options.proxy,
      GOSUMDB: goSetting('GOSUMDB'),
      GOTELEMETRY: 'off',
      GOTOOLCHAIN: 'local',
      GOWORK: 'off',
      // The go command never asks a proxy for loopback addresses.
      HTTP_PROXY: NOWHERE,
      HTTPS_PROXY: NOWHERE,
      NO_PROXY: '',
      ...options.env,
    };
  }

  /** Makes a client that has nothing yet. */
  static async create(options: GoClientOptions): Promise<GoClient> {
    await mkdir(options.folder, { recursive: true });
    return new GoClient(await mkdtemp(join(options.folder, 'client-')), options);
  }

  /** Runs `go` to its end. Throws, with what it said, when it fails. */
  async go(cwd: string, ...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try(cwd, ...args);
    if (code !== 0) throw new Error(`go ${args.join(' ')} ended with ${code}:\n${stderr}`);
    return stdout;
  }

  /** Runs `go` to its end, however that is. */
  async try(cwd: string, ...args: readonly string[]): Promise<GoResult> {
    const child = spawn('go', args, {
      cwd,
      env: this.#env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: COMMAND_MS,
      killSignal: 'SIGKILL',
    });
    const [stdout, stderr, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close') as Promise<[number | null]>,
    ]);
    return { code: code ?? undefined, stdout, stderr };
  }
}
