import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { stringify } from 'yaml';
import { CAJE, cleanEnv, type RunOptions, type RunResult, runCaje } from './run-caje.ts';
import { steadyPort } from './steady-port.ts';

/** A line of the node's log. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly msg: string };

/** How a node is started. */
export interface NodeOptions {
  /** What `caje.yaml` says. Where it has no `listen`, the node listens on a free port; where it has no `data`, in the folder. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Where `caje.yaml` and the data lie. Absent: a new one, removed at the end. */
  readonly folder?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Put before the program, such as `['strace', '-f']`. */
  readonly wrapper?: readonly string[] | undefined;
  /** Another program than `bin/caje` of this checkout. */
  readonly program?: string | undefined;
  /** Milliseconds until it must listen. Absent: 20,000. */
  readonly readyMs?: number | undefined;
}

/** How a process ended. */
export interface Ended {
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
}

const READY_MS = 20_000;
const FREE = '127.0.0.1:0';
/** Log lines shown when a node does not start. */
const LINES_SHOWN = 20;

/** A real caje node in a process of its own. Its log is kept; disposing kills it and removes the folder made for it. */
export class NodeProcess implements AsyncDisposable {
  readonly folder: string;
  readonly dataDir: string;
  readonly configFile: string;
  /** Every line of the log since the first start. */
  readonly log: LogLine[] = [];
  /** What was written that is no log line: the banner, a crash. */
  readonly output: string[] = [];
  readonly #options: NodeOptions;
  readonly #listening = new Map<string, string>();
  #child: ChildProcess | undefined;
  #ended: Promise<Ended> = Promise.resolve({ code: undefined, signal: undefined });
  #waiters: (() => void)[] = [];

  private constructor(options: NodeOptions, folder: string) {
    this.#options = options;
    this.folder = folder;
    const data = options.config['data'];
    this.dataDir = typeof data === 'string' ? join(folder, data) : join(folder, 'data');
    this.configFile = join(folder, 'caje.yaml');
  }

  /** Starts one and resolves when it listens. Throws, with its last words, when it ends or takes too long. */
  static async start(options: NodeOptions): Promise<NodeProcess> {
    const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'caje-test-node-')));
    const node = new NodeProcess(options, folder);
    try {
      await node.restart();
      return node;
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Such as `http://127.0.0.1:40001`. */
  get url(): string {
    return this.#urlOf('public');
  }

  get peerUrl(): string {
    return this.#urlOf('peer');
  }

  /** Of the program itself, or of its wrapper. */
  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined || !this.isRunning) throw new Error('the node does not run');
    return pid;
  }

  get isRunning(): boolean {
    return (
      this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
    );
  }

  /** How it ended; resolves when it does. */
  get ended(): Promise<Ended> {
    return this.#ended;
  }

  /** Starts it again on the same data and, where it listened before, the same ports; it must have ended. */
  async restart(env: Readonly<Record<string, string>> = {}): Promise<void> {
    if (this.isRunning) throw new Error('the node still runs');
    const { config, wrapper = [], program = CAJE } = this.#options;
    const listen = (config['listen'] as Record<string, string> | undefined) ?? { public: FREE };
    const bound: [string, string][] = [];
    for (const [listener, address] of Object.entries({ public: FREE, ...listen })) {
      const before = this.#listening.get(listener);
      if (before !== undefined) bound.push([listener, new URL(before).host]);
      // It may be started again, and must find its port then.
      else if (address === FREE) bound.push([listener, `127.0.0.1:${await steadyPort()}`]);
      else bound.push([listener, address]);
    }
    const whole = { ...config, listen: Object.fromEntries(bound), data: this.dataDir };
    await writeFile(this.configFile, stringify(whole));
    this.#listening.clear();

    const [command = program, ...args] = [...wrapper, program];
    const child = spawn(command, [...args, 'serve', '--config', this.configFile], {
      cwd: this.folder,
      env: cleanEnv({ ...this.#options.env, ...env }),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.#ended = once(child, 'close').then(([code, signal]) => {
      this.#wake();
      return { code: code ?? undefined, signal: signal ?? undefined };
    });
    createInterface(child.stderr).on('line', (line) => this.#take(line));
    createInterface(child.stdout).on('line', (line) => this.output.push(line));
    const roles = (config['roles'] as readonly string[] | undefined) ?? ['proxy'];
    const names = bound.map(([listener]) => listener);
    await this.#ready(names.filter((name) => name !== 'public' || roles.includes('proxy')));
  }

  /** Resolves with the first log line that fits, also one already there. Rejects when the node ends without it. */
  async logged(fits: (line: LogLine) => boolean): Promise<LogLine> {
    for (let from = 0; ; ) {
      const found = this.log.slice(from).find(fits);
      if (found !== undefined) return found;
      from = this.log.length;
      if (!this.isRunning) throw new Error(`the node ended without it:\n${this.lastWords()}`);
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  /** SIGKILL; resolves when it is gone. */
  async kill9(): Promise<Ended> {
    return await this.signal('SIGKILL');
  }

  /** SIGTERM; resolves when it has drained and is gone. */
  async stop(): Promise<Ended> {
    return await this.signal('SIGTERM');
  }

  /** Sends a signal and resolves when the node is gone. */
  async signal(signal: NodeJS.Signals): Promise<Ended> {
    this.#child?.kill(signal);
    return await this.#ended;
  }

  /** Bytes of memory resident now, and the most so far. */
  memory(): { readonly rss: number; readonly peak: number } {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    const kibibytes = (field: string): number =>
      Number(new RegExp(`^${field}:\\s*(\\d+) kB$`, 'm').exec(status)?.[1] ?? Number.NaN);
    return { rss: kibibytes('VmRSS') * 1024, peak: kibibytes('VmHWM') * 1024 };
  }

  /** Every counter of the node by name, as `caje counters --json` prints them. */
  async counters(): Promise<Readonly<Record<string, number>>> {
    const { code, stdout, stderr } = await this.run('counters', '--json');
    if (code !== 0) throw new Error(`caje counters ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as Record<string, number>;
  }

  /** Runs another `caje` command on this node's configuration. */
  async run(...args: readonly string[]): Promise<RunResult> {
    return await this.runWith({}, ...args);
  }

  /** The same with options. */
  async runWith(options: RunOptions, ...args: readonly string[]): Promise<RunResult> {
    const env = { ...this.#options.env, ...options.env };
    const base = { program: this.#options.program, cwd: this.folder };
    return await runCaje([...args, '--config', this.configFile], { ...base, ...options, env });
  }

  /** The end of what it wrote. */
  lastWords(): string {
    const lines = [...this.output, ...this.log.map((line) => JSON.stringify(line))];
    return lines.slice(-LINES_SHOWN).join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.isRunning) await this.kill9();
    if (this.#options.folder === undefined) {
      await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
    }
  }

  async #ready(listeners: readonly string[]): Promise<void> {
    const late = AbortSignal.timeout(this.#options.readyMs ?? READY_MS);
    late.addEventListener('abort', () => this.#wake());
    while (!listeners.every((listener) => this.#listening.has(listener))) {
      if (!this.isRunning) throw new Error(`the node ended at its start:\n${this.lastWords()}`);
      if (late.aborted) throw new Error(`the node does not listen in time:\n${this.lastWords()}`);
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  #take(text: string): void {
    const line = parseLine(text);
    if (line === undefined) this.output.push(text);
    else {
      this.log.push(line);
      const { msg, listener, url } = line;
      if (msg === 'listening' && typeof listener === 'string' && typeof url === 'string') {
        this.#listening.set(listener, url);
      }
    }
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }

  #urlOf(listener: string): string {
    const url = this.#listening.get(listener);
    if (url === undefined) throw new Error(`the node has no ${listener} listener`);
    return url;
  }
}

function parseLine(text: string): LogLine | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return undefined;
  }
}
