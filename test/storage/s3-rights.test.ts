import { rename, rm } from 'node:fs/promises';
import { expect } from 'chai';
import { kindOf, messageOf } from '../../src/errors.ts';
import type { S3BackendOptions } from '../../src/storage/s3-backend-options.ts';
import { contentOf, failureOf } from '../contract/backend-fixture.ts';
import { incomingOf } from '../support/incoming.ts';
import { openBucket, type TestBucket } from '../support/s3-bucket.ts';
import { S3Proxy, type S3Verb } from '../support/s3-proxy.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { skipUnless } from '../support/skip.ts';

const MIB = 1024 * 1024;
const RIGHTS = ['read', 'write', 'list', 'delete'] as const;
type Right = (typeof RIGHTS)[number];
const VERBS: Readonly<Record<Right, readonly S3Verb[]>> = {
  read: ['get', 'head'],
  write: ['put', 'begin', 'part', 'complete', 'copy', 'copyPart'],
  list: ['list', 'uploads', 'parts'],
  delete: ['delete', 'abort'],
};

describe('a bucket that allows less than all', function () {
  this.timeout(30_000);
  let server: S3Server;
  let proxy: S3Proxy;

  before(async function () {
    skipUnless(this, s3ServerMissing() === undefined, s3ServerMissing() ?? '');
    server = await startS3Server();
    proxy = await S3Proxy.start(server.endpoint);
  });

  afterEach(() => {
    if (proxy !== undefined) proxy.rule = {};
  });

  after(async () => {
    await proxy?.[Symbol.asyncDispose]();
    await server?.stop();
  });

  const open = async (options: Partial<S3BackendOptions> = {}): Promise<TestBucket> =>
    await openBucket(server, { endpoint: proxy.url, ...options });

  const deny = (right: Right): void => {
    proxy.rule = {
      before: ({ verb }) =>
        VERBS[right].includes(verb) ? { status: 403, code: 'AccessDenied' } : undefined,
    };
  };

  const well = async ({ backend }: TestBucket): Promise<void> => {
    const end = performance.now() + 10_000;
    for (;;) {
      const { problem } = await backend.health();
      if (problem === undefined) return;
      if (performance.now() > end) throw new Error(`still: ${problem}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };

  for (const right of RIGHTS) {
    it(`is known at the start to refuse ${right}, and used again without any request once it does not`, async () => {
      await using bucket = await open();
      deny(right);
      for (let look = 0; look < 3; look++) {
        const { problem } = await bucket.backend.health();
        expect(problem).to.match(new RegExp(`may not ${right} .*"${bucket.name}" \\(s3:`));
        expect(problem).to.not.include('\n');
      }
      proxy.rule = {};
      await well(bucket);
      // Health leaves nothing behind.
      while ((await Array.fromAsync(bucket.objects.all('', {}))).length > 0)
        await new Promise((resolve) => setTimeout(resolve, 20));
    });

    it(`does without ${right} what can be done without it`, async () => {
      await using bucket = await open();
      const [kept, fresh] = [seededBytes(2 * MIB, 'kept'), seededBytes(9 * MIB, 'fresh')];
      const { digest } = await bucket.backend.put(incomingOf(kept));
      deny(right);
      const reading = bucket.backend.open(digest).then(contentOf);
      if (right === 'read') expect(kindOf(await failureOf(reading))).to.equal('unavailable');
      else expect((await reading).equals(kept)).to.equal(true);
      const putting = bucket.backend.put(incomingOf(fresh));
      // A large body is looked for before it is published.
      if (right === 'write' || right === 'read') {
        const failure = await failureOf(putting);
        expect(kindOf(failure)).to.equal('unavailable');
        expect(messageOf(failure)).to.match(new RegExp(`may not ${right}`));
      } else expect((await putting).size).to.equal(fresh.length);
      const deleting = bucket.backend.delete(digest);
      if (right === 'list' || right === 'write') expect(await deleting).to.equal(true);
      else expect(kindOf(await failureOf(deleting))).to.equal('unavailable');
      await bucket.backend.health();
      expect(bucket.metrics.value('store_failures_total', 'denied')).to.be.above(0);
    });
  }

  it('is missed while it is gone, and used again when it is back', async () => {
    await using bucket = await open();
    const bytes = seededBytes(100_000);
    const { digest } = await bucket.backend.put(incomingOf(bytes));
    await rename(bucket.folder, `${bucket.folder}-away`);
    const message = new RegExp(`bucket "${bucket.name}" does not exist`);
    expect(messageOf(await failureOf(bucket.backend.put(incomingOf(Buffer.from('x')))))).to.match(
      message,
    );
    expect(kindOf(await failureOf(bucket.backend.open(digest)))).to.equal('unavailable');
    expect((await bucket.backend.health()).problem).to.match(message);
    expect(bucket.metrics.value('missing_blobs_total')).to.equal(0);
    await rm(bucket.folder, { recursive: true, force: true });
    await rename(`${bucket.folder}-away`, bucket.folder);
    await well(bucket);
    expect((await contentOf(await bucket.backend.open(digest))).equals(bytes)).to.equal(true);
  });

  it('says which region it is in', async () => {
    await using bucket = await open({ region: 'eu-west-9' });
    const { problem } = await bucket.backend.health();
    expect(problem).to.match(/set region to/);
  });

  it('is told how bodies are encrypted and where they are to lie, and nothing of the latter for what is not a body', async () => {
    await using bucket = await open({
      ...{ sse: 'aws:kms', sseKeyId: 'key-1', storageClass: 'STANDARD_IA', copyLimit: 6 * MIB },
    });
    const from = proxy.calls.length;
    for (const size of [1000, 9 * MIB]) await bucket.backend.put(incomingOf(seededBytes(size)));
    const writes = proxy.calls
      .slice(from)
      .filter(({ verb }) => ['begin', 'copy', 'put'].includes(verb))
      .map(({ verb, key, headers }) => ({
        what: `${verb} ${/sha256.*\.blocks$|staging|sha256/.exec(key)?.[0].replace(/.*\./, '.')}`,
        sse: headers['x-amz-server-side-encryption'],
        key: headers['x-amz-server-side-encryption-aws-kms-key-id'],
        storageClass: headers['x-amz-storage-class'],
      }));
    const encrypted = { sse: 'aws:kms', key: 'key-1' };
    expect(writes).to.deep.equal([
      { what: 'put sha256', ...encrypted, storageClass: 'STANDARD_IA' },
      { what: 'begin staging', ...encrypted, storageClass: undefined },
      { what: 'put .blocks', ...encrypted, storageClass: undefined },
      { what: 'put staging', ...encrypted, storageClass: undefined },
      { what: 'begin sha256', ...encrypted, storageClass: 'STANDARD_IA' },
    ]);
  });

  it('counts a body as its own whose answer was lost, and does not send it again', async () => {
    await using bucket = await open();
    let lost = 0;
    proxy.rule = {
      before: ({ verb }) => (verb === 'put' && lost++ === 0 ? { lose: true } : undefined),
    };
    const { digest } = await bucket.backend.put(incomingOf(Buffer.from('once')));
    expect(lost).to.equal(1);
    const own = (await Array.fromAsync(bucket.backend.listOwn())).map((stat) => stat.digest);
    expect(own).to.deep.equal([digest]);
  });

  it('is left nothing by a body whose joining was carried out but never confirmed', async () => {
    await using bucket = await open();
    let lost = 0;
    proxy.rule = {
      before: ({ verb }) => (verb === 'complete' && lost++ === 0 ? { lose: true } : undefined),
    };
    const bytes = seededBytes(9 * MIB);
    const { digest } = await bucket.backend.put(incomingOf(bytes));
    expect((await contentOf(await bucket.backend.open(digest))).equals(bytes)).to.equal(true);
    expect(await bucket.leftovers()).to.deep.equal([]);
  });

  it('is rid of what could not be removed while it failed, once a body is kept again', async () => {
    await using bucket = await open();
    proxy.rule = {
      before: ({ verb }) => (['part', 'abort'].includes(verb) ? { status: 500 } : undefined),
    };
    await failureOf(bucket.backend.put(incomingOf(seededBytes(9 * MIB))));
    expect((await bucket.leftovers()).length).to.equal(1);
    proxy.rule = {};
    await well(bucket);
    await bucket.backend.put(incomingOf(seededBytes(100)));
    while ((await bucket.leftovers()).length > 0)
      await new Promise((resolve) => setTimeout(resolve, 20));
  });

  it('is full until bytes fit again, also where it takes a line', async () => {
    await using bucket = await open();
    const { digest } = await bucket.backend.put(incomingOf(seededBytes(100)));
    expect(await bucket.backend.health()).to.deep.equal({});
    proxy.rule = {
      before: ({ verb, headers }) =>
        (verb === 'put' || verb === 'part') && Number(headers['content-length']) > 100_000
          ? { status: 507, code: 'InsufficientStorage' }
          : undefined,
    };
    await failureOf(bucket.backend.put(incomingOf(seededBytes(9 * MIB))));
    for (let look = 0; look < 3; look++) {
      expect((await bucket.backend.health()).problem).to.match(/the store is full/);
      expect((await contentOf(await bucket.backend.open(digest))).length).to.equal(100);
      await new Promise((resolve) => setTimeout(resolve, 600));
    }
    proxy.rule = {};
    await bucket.backend.put(incomingOf(seededBytes(9 * MIB)));
    await well(bucket);
  });
});
