import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { goSetting } from './go-command.ts';

/** What reached the upstream. */
export interface UpstreamReport {
  /** Paths, in the order of their requests. */
  readonly requests: readonly string[];
  readonly connections: number;
}

const entry = fileURLToPath(new URL('go-upstream-entry.ts', import.meta.url));
/** Milliseconds for the upstream's first answer. */
const REACH_MS = 15_000;

/** Address of the first module proxy of `go env GOPROXY`. Absent: it names none. */
export function goProxy(): string | undefined {
  const [first = ''] = goSetting('GOPROXY').split(/[,|]/);
  return /^https?:/.test(first) ? first : undefined;
}

/** This machine's own module proxy behind a counter that can take it away. */
export class GoUpstream implements AsyncDisposable {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  /** Starts the counter on a free port of 127.0.0.1, before the proxy given. */
  static async start(proxy: string): Promise<GoUpstream> {
    const child = fork(entry, [proxy], { execArgv: ['--conditions=caje-source'] });
    const [url] = (await once(child, 'message')) as [string];
    return new GoUpstream(child, url);
  }

  /** Whether the proxy behind it answers a path with 200. */
  async has(path: string): Promise<boolean> {
    try {
      const answer = await fetch(this.url + path, { signal: AbortSignal.timeout(REACH_MS) });
      await answer.body?.cancel();
      return answer.status === 200;
    } catch {
      return false;
    }
  }

  /** From now on every connection is reset, also those that are open. */
  async leave(): Promise<void> {
    await this.#ask('leave');
  }

  async return(): Promise<void> {
    await this.#ask('return');
  }

  /** What came since the start or the last reset. */
  async report(): Promise<UpstreamReport> {
    return await this.#ask('report');
  }

  async reset(): Promise<void> {
    await this.#ask('reset');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#child.connected) return;
    const gone = once(this.#child, 'exit');
    this.#child.disconnect();
    await gone;
  }

  async #ask(what: string): Promise<UpstreamReport> {
    const answer = once(this.#child, 'message') as Promise<[UpstreamReport]>;
    this.#child.send(what);
    return (await answer)[0];
  }
}
