import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { cleanEnv } from '../support/run-caje.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import type { CacheSuite } from './cache-suite.ts';

/** What the suite says of each test by id: `true`, or what kind of failure it was, and why. */
export type SuiteResults = ReadonlyMap<string, true | readonly [kind: string, message: string]>;

const RESULTS = z.record(z.string(), z.union([z.literal(true), z.tuple([z.string(), z.string()])]));
const CLIENT = fileURLToPath(new URL('suite-client.ts', import.meta.url));
const PASS_LIMIT_MS = 300_000;
/** What the suite calls its own time-out of one request; older versions have none. */
const TIMED_OUT = 'AbortError';
/** Makes a program end when its input does: also when this process is killed. */
const ENDS_WITH_INPUT = `data:text/javascript,process.stdin.on('end',()=>process.exit()).resume()`;

/** The origin of the suite in a process of its own. */
export class SuiteOrigin implements AsyncDisposable {
  /** Such as `http://127.0.0.1:40001`. */
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #folder: TempFolder;

  private constructor(url: string, child: ChildProcess, folder: TempFolder) {
    this.url = url;
    this.#child = child;
    this.#folder = folder;
  }

  static async start(suite: CacheSuite): Promise<SuiteOrigin> {
    const folder = await tempFolder();
    const child = spawn(process.execPath, ['--import', ENDS_WITH_INPUT, suite.server], {
      cwd: suite.folder,
      env: cleanEnv({
        npm_config_protocol: 'http',
        npm_config_port: '0',
        npm_config_pidfile: join(folder.path, 'server.pid'),
      }),
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    // It goes on writing warnings, which have to be read.
    const lines = createInterface(child.stdout);
    for await (const line of lines) {
      const port = /^Listening on http:\/\/.*:(\d+)\/$/.exec(line)?.[1];
      if (port === undefined) continue;
      child.stdout.resume();
      return new SuiteOrigin(`http://127.0.0.1:${port}`, child, folder);
    }
    await folder[Symbol.asyncDispose]();
    throw new Error('the origin of the suite ended at its start');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = once(this.#child, 'exit');
      this.#child.stdin?.end();
      await gone;
    }
    await this.#folder[Symbol.asyncDispose]();
  }
}

/**
 * One pass of the suite's client through a cache. A test is run again, once and by itself, only where the suite reports
 * that a request met its own time-out, which says that the machine was busy and nothing about the cache.
 */
export async function runPass(suite: CacheSuite, cacheUrl: string): Promise<SuiteResults> {
  const results = new Map(await runClient(suite, cacheUrl));
  for (const [id, result] of results) {
    if (result === true || result[0] !== TIMED_OUT) continue;
    for (const [only, again] of await runClient(suite, cacheUrl, id)) results.set(only, again);
  }
  return results;
}

async function runClient(
  suite: CacheSuite,
  cacheUrl: string,
  ...only: readonly string[]
): Promise<SuiteResults> {
  const args = [CLIENT, suite.runner, suite.tests, cacheUrl, ...only];
  const child = spawn(process.execPath, ['--no-warnings', ...args], {
    cwd: suite.folder,
    env: cleanEnv(),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PASS_LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  const [output, errors] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  if (child.exitCode !== 0) throw new Error(`the client of the suite failed: ${errors}`);
  return new Map(Object.entries(RESULTS.parse(JSON.parse(output))));
}
