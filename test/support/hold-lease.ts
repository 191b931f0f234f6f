import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const holder = fileURLToPath(new URL('hold-lease-entry.ts', import.meta.url));

/** Another process that holds a lease on the lock of a primary, and renews it. */
export interface LeaseHolder extends AsyncDisposable {
  /** Before it had the lease, on the clock of `performance`. */
  readonly since: number;
  /** SIGKILL; resolves once it is gone. */
  kill9(): Promise<void>;
}

/** Starts one at the peer listener of a primary; resolves when it has the lease. Throws when it ends without. */
export async function holdLease(url: string, token: string): Promise<LeaseHolder> {
  const since = performance.now();
  const child = spawn(process.execPath, ['--conditions=caje-source', holder], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, CAJE_TEST_URL: url, CAJE_TEST_TOKEN: token },
  });
  const gone = once(child, 'exit');
  const kill9 = async (): Promise<void> => {
    child.kill('SIGKILL');
    await gone;
  };
  const said = await Promise.race([once(child.stdout, 'data'), gone.then(() => undefined)]);
  if (said === undefined) throw new Error('the holder of the lease ended without it');
  return { since, kill9, [Symbol.asyncDispose]: kill9 };
}
