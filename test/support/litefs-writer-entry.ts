import { spawnSync } from 'node:child_process';
import { SystemClock } from '../../src/clock.ts';
import { silentLogger } from '../../src/log.ts';
import { LiteFsWatch } from '../../src/manifest/litefs-watch.ts';
import type {
  LocalRequest,
  WriterEvent,
  WriterResponse,
  WriterSettings,
} from '../../src/manifest/writer-protocol.ts';
import { Metrics } from '../../src/metrics.ts';
import { WriterThread } from '../../src/sqlite/writer-thread.ts';
import type { FromWriter, ToWriter } from './litefs-writer.ts';

/** Started by `LiteFsWriter`: a writer thread in a process of its own, told by messages what to do. */
const given = JSON.parse(process.argv[2] ?? '{}') as WriterSettings;
const liteFs = given.liteFs && { ...given.liteFs, watch: new SharedArrayBuffer(8) };
const metrics = new Metrics();
const send = (message: FromWriter): void => void process.send?.(message);
const watch =
  liteFs &&
  new LiteFsWatch({
    databasePath: given.path,
    settings: liteFs,
    clock: new SystemClock(),
    log: silentLogger,
    metrics,
    onWedged: () => send({ wedged: true }),
  });
const thread = new WriterThread<LocalRequest, WriterResponse, WriterEvent>({
  entry: new URL('./litefs-writer-thread.ts', import.meta.url),
  workerData: { ...given, liteFs },
  onEvent: (event) => {
    if (event.type === 'count') metrics.count(event.name, event.label);
    if (event.type === 'litefs') watch?.hear(event.met);
    if (event.type === 'problem') send({ problem: event.text ?? null });
  },
});
let signals = 0;
process.on('SIGUSR2', () => signals++);

process.on('message', (message: ToWriter) => {
  if ('request' in message) {
    thread.request(message.request).then(
      (response) => send({ id: message.id, response }),
      (error: unknown) => send({ id: message.id, error: String(error) }),
    );
  } else if (message.ask === 'counters') {
    send({
      id: message.id,
      counters: { ...metrics.snapshot(), signals },
      problem: watch?.problem ?? null,
    });
  } else if (message.ask === 'spawn') send({ id: message.id, code: spawnSync('true').status ?? 1 });
  else void end();
});
process.on('disconnect', () => void end());

async function end(): Promise<void> {
  await watch?.[Symbol.asyncDispose]();
  await thread[Symbol.asyncDispose]();
  process.exit(0);
}
