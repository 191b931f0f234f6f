import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import type { ComponentContext, ServiceKey } from '../../src/component.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { createBackendTypes } from '../../src/storage/backend-types.ts';
import { BODY_CACHE, BodyCache } from '../../src/storage/body-cache.ts';
import { NODE_DATABASE, NodeDatabase } from '../../src/storage/node-database.ts';
// Loaded before the tests: the SDK sets a global of its own, which would count as a leak of the test that loads it.
import '../../src/storage/s3-backend.ts';
import { incomingOf } from '../support/incoming.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { tempFolder } from '../support/temp-folder.ts';

function typeOf(type: string) {
  const found = createBackendTypes().find((one) => one.type === type);
  if (found === undefined) throw new Error(`no type ${type}`);
  return found;
}

describe('backend types', () => {
  const cases: [type: string, options: object, message: RegExp][] = [
    ['disk', { paht: 'x' }, /paht/],
    ['disk', { keepFree: 'much' }, /5%/],
    ['disk', { maxBytes: 'much' }, /20GiB/],
    ['disk', { highWater: '90%', lowWater: '90%' }, /lowWater must be less/],
    ['disk', { durability: 'none' }, /full.*os/],
    ['disk', { durability: 'os', verify: false }, /expected true with durability: os/],
    ['memory', { durability: 'os' }, /durability/],
    ['s3', { bucket: 'b', durability: 'os' }, /durability/],
    ['tiered', { near: 'a', far: 'b', durability: 'os' }, /durability/],
    ['memory', { maxEntries: 0 }, /maxEntries/],
    ['memory', { path: 'x' }, /path/],
    ['s3', {}, /bucket/],
    ['s3', { bucket: 'b', maxEntries: 0 }, /maxEntries/],
    ['s3', { bucket: 'b', highWater: '90%', lowWater: '90%' }, /lowWater must be less/],
    ['s3', { bucket: 'b', endpoint: 'localhost:9000' }, /endpoint|URL/],
    ['s3', { bucket: 'b', checksums: 'none' }, /required/],
    ['s3', { bucket: 'b', sse: 'none' }, /aws:kms/],
    ['s3', { bucket: 'b', sse: 'AES256', sseKeyId: 'k' }, /needs sse: aws:kms/],
    ['s3', { bucket: 'b', storageClass: 'GLACIER' }, /read at once/],
    ['s3', { bucket: 'b', timeouts: { answer: 'soon' } }, /30s/],
    ['s3', { bucket: 'b', credentials: { accessKeyId: 'a' } }, /secretAccessKey/],
    [
      's3',
      { bucket: 'b', profile: 'p', credentials: { accessKeyId: 'a', secretAccessKey: 's' } },
      /either credentials or profile/,
    ],
  ];
  for (const [type, options, message] of cases) {
    it(`refuses ${type} with ${JSON.stringify(options)}`, () => {
      const result = typeOf(type).options.safeParse(options);
      expect(result.success).to.equal(false);
      expect(JSON.stringify(result.error?.issues)).to.match(message);
    });
  }

  it('makes each backend from its options', async () => {
    await using folder = await tempFolder();
    const clock = new SystemClock();
    const path = join(folder.path, 'node.db');
    await using database = await NodeDatabase.open({ path, clock, log: silentLogger });
    const services = new Map<ServiceKey<unknown>, unknown>([
      [NODE_DATABASE, database],
      [BODY_CACHE, new BodyCache()],
    ]);
    const context: ComponentContext = {
      name: 'test',
      clock,
      log: silentLogger,
      metrics: new Metrics(),
      dataDir: folder.path,
      baseDir: folder.path,
      nodeId: 'caje-0123456789abcdef',
      component: async () => {
        throw new Error('none');
      },
      service: <T>(key: ServiceKey<T>): T => services.get(key) as T,
    };
    const make = async (type: string, options: object) => {
      const found = typeOf(type);
      return await found.create(found.options.parse(options), context);
    };
    const body = seededBytes(100_000);
    await using disk = await make('disk', { path: 'kept', keepFree: 0 });
    await using memory = await make('memory', { maxBytes: '1GiB' });
    for (const backend of [disk, memory]) {
      const { digest } = await backend.put(incomingOf(body));
      expect((await backend.open(digest))?.bytes?.equals(body)).to.equal(true);
    }
    expect(await readdir(folder.path)).to.include('kept');
    await writeFile(join(folder.path, 'secret'), 's\n');
    const credentials = { accessKeyId: 'a', secretAccessKey: { file: 'secret' } };
    const endpoint = 'http://127.0.0.1:1';
    await using far = await make('s3', { bucket: 'b', endpoint, credentials });
    expect((await far.health()).problem).to.match(/ECONNREFUSED|does not answer/);
  });
});
