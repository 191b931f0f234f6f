import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const holder = fileURLToPath(new URL('../litefs/lock-holder.ts', import.meta.url));

/** Another process that holds the HALT byte of a lock file. */
export interface LockHolder extends AsyncDisposable {
  readonly process: ChildProcess;
  /** What it said: `held` or `refused`. */
  readonly said: string;
  /** Ends the process by closing its input, or by a signal; resolves once it is gone. */
  release(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts a process that takes byte 72 of `lockPath` at once, and resolves when it has tried. */
export async function holdLock(lockPath: string): Promise<LockHolder> {
  const child = spawn(process.execPath, ['--conditions=caje-source', holder, lockPath], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const gone = once(child, 'exit');
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  const release = async (signal?: NodeJS.Signals): Promise<void> => {
    if (signal === undefined) child.stdin.end();
    else child.kill(signal);
    await gone;
  };
  return {
    process: child,
    said: said.toString().trim(),
    release,
    [Symbol.asyncDispose]: () => release(),
  };
}
