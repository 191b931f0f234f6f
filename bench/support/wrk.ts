import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { HOST } from './keep-alive-client.ts';

const run = promisify(execFile);
const SCRIPT = fileURLToPath(new URL('wrk-report.lua', import.meta.url));
/** Longer than any run: ends a wrk that hangs. */
const SPARE_MS = 30_000;
const MICROSECONDS = 1_000_000;

/** One run of wrk. */
export interface WrkOptions {
  readonly url: string;
  readonly connections: number;
  readonly seconds: number;
}

/** What came of it. */
export interface WrkTotals {
  readonly requests: number;
  /** Received, heads included. */
  readonly bytes: number;
  readonly seconds: number;
}

/** Loads a URL over kept connections from one thread. Throws when a request failed or was not answered with 2xx or 3xx. */
export async function wrk({ url, connections, seconds }: WrkOptions): Promise<WrkTotals> {
  const host = `Host: ${HOST}`;
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '-s', SCRIPT, '-H', host, url];
  const { stdout } = await run('wrk', args, { timeout: seconds * 1000 + SPARE_MS });
  const totals = /^totals (\d+) (\d+) (\d+) (\d+)$/m.exec(stdout);
  const [requests, bytes, microseconds, failed] = (totals ?? []).slice(1).map(Number);
  if (!requests || !bytes || !microseconds || failed !== 0) {
    throw new Error(`wrk ${args.join(' ')}:\n${stdout}`);
  }
  return { requests, bytes, seconds: microseconds / MICROSECONDS };
}
