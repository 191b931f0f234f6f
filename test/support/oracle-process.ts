import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { OracleCounts, SeenRequest } from './oracle-origin.ts';
import { chooseSeed } from './random.ts';

const entry = fileURLToPath(new URL('oracle-entry.ts', import.meta.url));

/** An oracle origin in a process of its own, for loads that would keep the test's event loop busy. Behaviour is spelled in the query. */
export class OracleProcess implements AsyncDisposable {
  readonly seed: number;
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, seed: number, url: string) {
    this.#child = child;
    this.seed = seed;
    this.url = url;
  }

  /** Starts one on a free port of 127.0.0.1. */
  static async start(seed: number = chooseSeed()): Promise<OracleProcess> {
    const args = ['--conditions=caje-source', entry, String(seed)];
    // It ends when its input does: also when this process is killed.
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const [url] = (await once(createInterface(child.stdout), 'line')) as [string];
    return new OracleProcess(child, seed, url);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async counts(key?: string): Promise<OracleCounts> {
    return await this.#ask<OracleCounts>('counts', key);
  }

  async sockets(): Promise<{ readonly open: number; readonly opened: number }> {
    return await this.#ask('sockets');
  }

  async seen(): Promise<readonly SeenRequest[]> {
    return await this.#ask('seen');
  }

  async version(key: string): Promise<number> {
    return await this.#ask('version', key);
  }

  async bumpVersion(key: string): Promise<number> {
    return await this.#ask('bump', key);
  }

  async resetCounts(): Promise<void> {
    await this.#ask('reset');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.stdin?.end();
    await gone;
  }

  async #ask<T>(what: string, key?: string): Promise<T> {
    const query = key === undefined ? '' : `?key=${encodeURIComponent(key)}`;
    const answer = await fetch(`${this.url}/_oracle/${what}${query}`);
    return (await answer.json()) as T;
  }
}
