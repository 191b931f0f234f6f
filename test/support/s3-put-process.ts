import { once } from 'node:events';
import { join } from 'node:path';
import { SystemClock } from '../../src/clock.ts';
import { messageOf } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { NodeDatabase } from '../../src/storage/node-database.ts';
import { S3Backend } from '../../src/storage/s3-backend.ts';
import { incomingOf } from './incoming.ts';
import { seededBytes } from './seeded-bytes.ts';
import { tempFolder } from './temp-folder.ts';

/** What the process is told, as JSON in its only argument. */
export interface S3PutOptions {
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly nodeId: string;
  /** Sizes of the bodies, in bytes; each is of seeded bytes. */
  readonly sizes: readonly number[];
}

// Run as a program: a node of its own, as far as storage goes. Says `ready`, waits for a line, puts, and says the digests.
if (import.meta.main) {
  const options = JSON.parse(process.argv[2] ?? '') as S3PutOptions;
  const { accessKeyId, secretAccessKey, sizes, ...rest } = options;
  const clock = new SystemClock();
  await using folder = await tempFolder();
  const path = join(folder.path, 'node.db');
  await using database = await NodeDatabase.open({ path, clock, log: silentLogger });
  await using backend = new S3Backend({
    ...rest,
    ...{ name: 'far', forcePathStyle: true, database, clock, log: silentLogger },
    credentials: { accessKeyId, secretAccessKey },
    metrics: new Metrics(),
  });
  const bodies = sizes.map((size) => incomingOf(seededBytes(size)));
  process.stdout.write('ready\n');
  await once(process.stdin, 'data');
  try {
    const stats = [];
    for (const body of bodies) stats.push(await backend.put(body));
    process.stdout.write(`${stats.map(({ digest }) => digest).join(' ')}\n`);
  } catch (error) {
    process.stdout.write(`${messageOf(error)}\n`);
    process.exitCode = 1;
  }
  process.stdin.destroy();
}
