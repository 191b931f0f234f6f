import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';
import { isIP } from 'node:net';
import { seedInUse } from './support/random.ts';

const allowed = process.env['CAJE_TEST_NETWORK'] !== undefined;

if (!allowed) {
  guard(dns, 'lookup');
  guard(dns.promises, 'lookup');
  syncBuiltinESMExports();
}

/** What mocha runs around each test: a failed one tells the seed that replays it. */
export const mochaHooks: Mocha.RootHookObject = {
  afterEach(this: Mocha.Context) {
    const seed = seedInUse();
    if (this.currentTest?.state !== 'failed' || seed === undefined) return;
    process.stdout.write(`      CAJE_TEST_SEED=${seed} replays what chance did here\n`);
  },
};

function guard(module: object, name: 'lookup'): void {
  const functions = module as Record<string, (...args: unknown[]) => unknown>;
  const original = functions[name];
  if (original === undefined) throw new Error(`node:dns has no ${name}`);
  functions[name] = (...args: unknown[]): unknown => {
    const host = String(args[0]);
    if (isLoopback(host)) return original(...args);
    const error = Object.assign(
      new Error(
        `look-up of ${host} refused: tests stay on loopback (CAJE_TEST_NETWORK=1 allows it)`,
      ),
      { code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: host },
    );
    const callback = args.at(-1);
    if (typeof callback !== 'function') return Promise.reject(error);
    process.nextTick(callback as (error: Error) => void, error);
    return undefined;
  };
}

/** Addresses need no look-up; of names only localhost and those below it stay on this machine (RFC 6761 §6.3). */
function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/\.$/, '');
  return isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost');
}
