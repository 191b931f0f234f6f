import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { type BenchOrder, type BenchResult, benchOrder } from './bench-schemas.ts';
import { SystemClock } from './clock.ts';
import { HeaderList } from './headers.ts';
import { createPeerApi } from './http/peer-api.ts';
import { peerToken } from './http/peer-tokens.ts';
import { trustCheck } from './http/public-address.ts';
import { ownRoutes } from './http/routes.ts';
import { RuleRouter } from './http/rule-router.ts';
import { createServer } from './http/server.ts';
import { createLogger } from './log.ts';
import type { NewEntry } from './manifest/entry.ts';
import { openManifest } from './manifest/open-manifest.ts';
import type { SqliteManifest } from './manifest/sqlite-manifest.ts';
import { Metrics } from './metrics.ts';
import { digestOf } from './storage/digest.ts';
import { VERSION } from './version.ts';

// The program of one process of `caje bench halt`: a `BenchOrder` as its argument; a line on standard input starts the
// writes, its end ends the process.

/** A write that takes longer has failed. */
const WRITE_MS = 30_000;
const HOUR_MS = 3_600_000;

const clock = new SystemClock();
const log = createLogger('error');
const metrics = new Metrics();
const order = benchOrder.parse(JSON.parse(process.argv[2] ?? ''));

await using stack = new AsyncDisposableStack();
const manifest = stack.use(await open(order));
const url = await listen(manifest, order, stack);
say({ url });
for await (const _ of createInterface(process.stdin)) say(await write(manifest, order));

async function open({ folder, path, name, lock, primary, token, litefs }: BenchOrder) {
  return await openManifest({
    ...{ path, lock, clock, log, metrics },
    nodeDatabasePath: join(folder, 'node.db'),
    ...(litefs && { liteFs: litefs }),
    ...(token !== '' && { cluster: { node: name, token, primary, follows: true } }),
  });
}

async function listen(
  { peers }: SqliteManifest,
  { name, token }: BenchOrder,
  open: AsyncDisposableStack,
): Promise<string> {
  if (token === '') return '';
  const handler = createPeerApi({
    ...{ router: new RuleRouter([]), trusts: trustCheck([]), log, metrics, clock },
    routes: ownRoutes({ version: VERSION, health: [], draining: () => false }),
    tokens: () => [peerToken('bench', token)],
    ...{ nodeId: name, version: VERSION, draining: () => false, peers },
  });
  const server = createServer({ handler, log, metrics, clock });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  // The second call cuts what is left.
  open.defer(async () => void (await Promise.all([server.close(), server.close()])));
  open.defer(() => peers.drain());
  const at = `http://127.0.0.1:${port}`;
  await peers.listening(at);
  return at;
}

/** One write after the other, each of them durable before the next. */
async function write(to: SqliteManifest, { name, writes }: BenchOrder): Promise<BenchResult> {
  const latencies: number[] = [];
  let failed = 0;
  for (let number = 0; number < writes; number++) {
    const entry = entryOf(`http://bench.invalid/${name}/${number}`);
    const from = performance.now();
    const change = {
      op: 'put',
      changeId: randomUUID(),
      entry,
      baseJid: 0,
      actor: 'bench',
    } as const;
    const [result] = await Promise.race([to.commit([change]), delay(WRITE_MS, [], { ref: false })]);
    latencies.push(performance.now() - from);
    if (result?.outcome !== 'committed') failed += 1;
  }
  return { latencies, failed, timeouts: metrics.snapshot()['halt_timeouts_total'] ?? 0 };
}

function entryOf(key: string): NewEntry {
  const now = clock.now();
  return {
    ...{ namespace: 'bench', key, variant: '', rule: 'bench', method: 'GET', url: key },
    ...{ publicHost: 'bench.invalid', vary: [], requestHeaders: HeaderList.empty, status: 200 },
    headers: new HeaderList([
      ['Content-Type', 'text/html'],
      ['ETag', '"1"'],
    ]),
    policy: {
      ...{ receivedAt: now, initialAge: 0, alwaysRevalidate: false, mustRevalidate: false },
      ...{ staleWhileRevalidateUntil: 0, staleIfErrorUntil: 0 },
    },
    ...{ source: 'bench', freshUntil: now + HOUR_MS, staleAt: now + 2 * HOUR_MS },
    ...{ digest: digestOf(Buffer.from(key)), size: key.length },
  };
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
