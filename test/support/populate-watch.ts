import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { eventually } from '../criteria/eventually.ts';
import type { NodeProcess } from './node-process.ts';
import { CAJE, cleanEnv } from './run-caje.ts';

/** A `caje populate --watch` on a node's data folder. Disposing kills it. */
export interface Watch extends AsyncDisposable {
  readonly process: ChildProcess;
  /** Keys by what became of them, as they were told. */
  readonly told: { readonly key: string; readonly outcome: string }[];
  /** Its exit code when it ends; absent where a signal ended it. */
  readonly ended: Promise<number | undefined>;
  /** Ends it; resolves with its exit code, absent where a signal ended it. */
  end(signal: NodeJS.Signals): Promise<number | undefined>;
}

/** Starts one. */
export function startWatch(node: NodeProcess, ...args: readonly string[]): Watch {
  const own = ['populate', '--watch', '--json', '--interval', '50ms', '--config', node.configFile];
  const child = spawn(CAJE, [...own, ...args], {
    env: cleanEnv(),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit').then(([code]) => (code as number | null) ?? undefined);
  const told: Watch['told'] = [];
  createInterface({ input: child.stdout }).on('line', (line) => void told.push(JSON.parse(line)));
  const end = async (signal: NodeJS.Signals): Promise<number | undefined> => {
    child.kill(signal);
    return await ended;
  };
  return {
    process: child,
    told,
    ended,
    end,
    [Symbol.asyncDispose]: async () => void (await end('SIGKILL')),
  };
}

/** Resolves once a watch of this node's folder knows from where it follows. */
export async function follows({ dataDir }: NodeProcess): Promise<void> {
  const cursors = join(dataDir, 'populate.json');
  await eventually(
    'a cursor',
    () => existsSync(cursors) && readFileSync(cursors, 'utf8').includes('web'),
  );
}
