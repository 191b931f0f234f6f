import { setTimeout as wait } from 'node:timers/promises';
import { expect } from 'chai';
import { ProxyError } from '../../src/errors.ts';
import { SumdbClient, type SumdbClientOptions } from '../../src/gomod/sumdb-client.ts';
import { compareSums } from '../../src/gomod/sumdb-record.ts';
import { SumdbLog, SumdbServer, sumdbReader, sumdbSigner, sumOf } from '../support/sumdb.ts';
import {
  exampleLog,
  exampleLookup,
  exampleModule,
  exampleSums,
  failureOf,
} from './sumdb-examples.ts';

/** Sizes at which every record is looked up. */
const EDGES = [1, 2, 3, 255, 256, 257, 512, 600];
/** Milliseconds for hundreds of trees on a busy machine. */
const SLOW_MS = 60_000;
const MODULE = 'example.com/Mod';

describe('SumdbClient', () => {
  const signer = sumdbSigner('sums.example.org/sumdb');
  let server: SumdbServer;
  const clientOf = (more: Partial<SumdbClientOptions> = {}): SumdbClient =>
    new SumdbClient({ key: signer.key, read: sumdbReader(server.url), ...more });
  const find = async (client: SumdbClient, id: number): Promise<unknown> =>
    await client.lookup(exampleModule(id), `v1.0.${id}`);
  const expected = (id: number): unknown => ({
    database: signer.name,
    module: exampleModule(id),
    version: `v1.0.${id}`,
    ...exampleSums(id),
  });

  beforeEach(async () => {
    server = await SumdbServer.start(new SumdbLog(signer));
  });
  afterEach(async () => {
    await server[Symbol.asyncDispose]();
  });

  for (const dropsParts of [false, true]) {
    const without = dropsParts ? ' without parts of full tiles' : '';
    it(`finds the records of trees of 1 to 600 records${without}`, async () => {
      const log = exampleLog(signer, 600);
      log.dropsParts = dropsParts;
      const local = (): SumdbClient =>
        new SumdbClient({ key: signer.key, read: async (path) => log.answer(path) });
      // One client sees the log grow; others see one state of it.
      const following = local();
      for (let size = 1; size <= 600; size++) {
        log.size = size;
        expect(await find(following, size - 1)).to.deep.equal(expected(size - 1));
        if (!EDGES.includes(size)) continue;
        const fresh = local();
        for (let id = 0; id < size; id++) expect(await find(fresh, id)).to.deep.equal(expected(id));
      }
    }).timeout(SLOW_MS);
  }

  it('reads no tile that the proof does not need, and none twice', async () => {
    server.log = exampleLog(signer, 600);
    const client = clientOf();
    await find(client, 300);
    expect(server.requests.toSorted()).to.deep.equal([
      '/lookup/example.com/!mod0@v1.0.300',
      '/tile/8/0/001',
      '/tile/8/0/002.p/88',
      '/tile/8/1/000.p/2',
    ]);
    server.requests.length = 0;
    await find(client, 300);
    await find(client, 301);
    expect(server.requests).to.deep.equal(['/lookup/example.com/!mod1@v1.0.301']);
  });

  it('takes the full tile where a part is gone', async () => {
    server.log = exampleLog(signer, 600);
    server.log.size = 200;
    server.log.dropsParts = true;
    const kept = server.log.answer('/lookup/example.com/!mod0@v1.0.100');
    server.log.size = 600;
    server.spoil = (path, body) => (path.startsWith('/lookup/') ? kept : body);
    expect(await find(clientOf(), 100)).to.deep.equal(expected(100));
    expect(server.requests.slice(1)).to.deep.equal(['/tile/8/0/000.p/200', '/tile/8/0/000']);
  });

  for (const status of [404, 410]) {
    it(`knows nothing of a version answered ${status}, until it is there`, async () => {
      server.log = exampleLog(signer, 3);
      const client = clientOf();
      server.spoil = () => status;
      expect(await find(client, 1)).to.equal(undefined);
      server.spoil = undefined;
      expect(await find(client, 1)).to.deep.equal(expected(1));
    });
  }

  for (const place of ['/lookup/', '/tile/']) {
    it(`passes an outage at ${place} on, and remembers nothing of it`, async () => {
      server.log = exampleLog(signer, 300);
      const outage = new ProxyError('timeout', 'test.read', 'it took too long');
      const inner = sumdbReader(server.url);
      let away = true;
      const client = clientOf({
        read: async (path, options) => {
          if (away && path.startsWith(place)) throw outage;
          return await inner(path, options);
        },
      });
      expect(await failureOf(find(client, 1))).to.equal(outage);
      away = false;
      expect(await find(client, 1)).to.deep.equal(expected(1));
    });
  }

  it('says which tile is missing', async () => {
    server.log = exampleLog(signer, 300);
    server.spoil = (path, body) => (path.startsWith('/tile/') ? 404 : body);
    const failure = await failureOf(find(clientOf(), 7));
    expect(failure).to.have.property('kind', 'upstream');
    expect(failure.message).to.match(
      /^example\.com\/Mod2@v1\.0\.7: checksum database sums\.example\.org\/sumdb: \/tile\/8\/\S+ is missing$/,
    );
  });

  it('takes old answers with old trees, from whatever cache', async () => {
    server.log = exampleLog(signer, 600);
    const old = new Map<string, Buffer>();
    for (const id of [5, 100, 256, 299]) {
      server.log.size = id + 1;
      const path = exampleLookup(id);
      old.set(path, server.log.answer(path) ?? expect.fail(`no answer at ${path}`));
    }
    server.log.size = 600;
    server.spoil = (path, body) => old.get(path) ?? body;
    const client = clientOf();
    for (const id of [599, 299, 5, 256, 100])
      expect(await find(client, id)).to.deep.equal(expected(id));
  });

  it('asks once for all who ask for the same at a time', async () => {
    server.log = exampleLog(signer, 600);
    const client = clientOf();
    const ids = [10, 10, 10, 20, 20, 300, 10];
    const found = await Promise.all(ids.map(async (id) => await find(client, id)));
    expect(found).to.deep.equal(ids.map(expected));
    expect(server.requests).to.have.lengthOf(new Set(server.requests).size);
    expect(server.requests.filter((path) => path.startsWith('/lookup/'))).to.have.lengthOf(3);
  });

  it('stops a read only when the last of those who wait for it has left', async () => {
    server.log = exampleLog(signer, 3);
    const inner = sumdbReader(server.url);
    const started = Promise.withResolvers<AbortSignal | undefined>();
    const gate = Promise.withResolvers<void>();
    const client = clientOf({
      read: async (path, options) => {
        started.resolve(options.signal);
        await gate.promise;
        return await inner(path, options);
      },
    });
    const [one, other] = [new AbortController(), new AbortController()];
    const first = failureOf(client.lookup(exampleModule(0), 'v1.0.0', { signal: one.signal }));
    const second = client.lookup(exampleModule(0), 'v1.0.0', { signal: other.signal });
    const reading = await started.promise;
    one.abort();
    expect(await first).to.have.property('name', 'AbortError');
    expect(reading?.aborted).to.equal(false);
    gate.resolve();
    expect(await second).to.deep.equal(expected(0));

    let ended: AbortSignal | undefined;
    const waiting = clientOf({
      read: async (_, { signal }) => {
        ended = signal;
        other.abort(new Error('gone away'));
        await wait(10_000, undefined, { signal });
        return undefined;
      },
    });
    const third = waiting.lookup(exampleModule(0), 'v1.0.0', { signal: other.signal });
    expect((await failureOf(third)).message).to.equal('gone away');
    expect(ended?.aborted).to.equal(true);
    const late = client.lookup(exampleModule(1), 'v1.0.1', { signal: other.signal });
    expect((await failureOf(late)).message).to.equal('gone away');
  });

  it('keeps no more than its bounds', async () => {
    const log = exampleLog(signer, 600);
    const bounds = { maxTileBytes: 20_000, maxRecordBytes: 5_000 };
    const client = new SumdbClient({
      key: signer.key,
      read: async (path) => log.answer(path),
      ...bounds,
    });
    for (let id = 0; id < 600; id++) {
      log.size = Math.max(id + 1, 300);
      expect(await find(client, id)).to.deep.equal(expected(id));
      expect(client.keptBytes).to.be.at.most(25_000);
    }
    expect(client.keptBytes).to.be.at.least(10_000);
  });

  it('goes on with the tree of an earlier run', async () => {
    server.log = exampleLog(signer, 300);
    const first = clientOf();
    expect(first.signedTree).to.equal(undefined);
    await find(first, 1);
    const known = first.signedTree ?? expect.fail('no tree');
    expect(known.toString()).to.equal(server.log.signed());

    const fork = server.log.fork(250);
    for (let id = 250; id < 400; id++)
      fork.add(exampleModule(id), `v1.0.${id}`, { zip: sumOf('bad'), mod: sumOf('bad') });
    server.log = fork;
    const failure = await failureOf(find(clientOf({ known }), 1));
    expect(failure).to.have.property('kind', 'integrity');
    expect(failure.message).to.equal(
      'example.com/Mod1@v1.0.1: checksum database sums.example.org/sumdb: its log forked: ' +
        'signed trees of 300 and 400 records contradict each other',
    );
    expect(await find(clientOf(), 1)).to.deep.equal(expected(1));
    const broken = Buffer.from(known.toString().replace('\n300\n', '\n301\n'));
    expect(() => clientOf({ known: broken }))
      .to.throw(ProxyError, /signature is wrong/)
      .with.property('kind', 'invalid');
  });

  const texts: Readonly<Record<string, readonly [text: string, result: object | RegExp]>> = {
    'only the zip': [`${MODULE} v1.0.0 ${sumOf('z')}\n`, { zip: sumOf('z'), mod: undefined }],
    'only the go.mod': [
      `${MODULE} v1.0.0/go.mod ${sumOf('m')}\n`,
      { zip: undefined, mod: sumOf('m') },
    ],
    'other lines too': [
      `x y\n${MODULE} v1.0.0 h9:AAAA\n${MODULE} v1.0.0 ${sumOf('z')}\n${MODULE} v1.0.0 ${sumOf('later')}\n`,
      { zip: sumOf('z'), mod: undefined },
    ],
    'another version': [`${MODULE} v1.0.1 ${sumOf('z')}\n`, /holds no sum of this version/],
    'a name that goes on': [`${MODULE} v1.0.0-pre ${sumOf('z')}\n`, /holds no sum of this version/],
    'a sum with words behind': [`${MODULE} v1.0.0 ${sumOf('z')} x\n`, /malformed sum/],
    'a short sum': [`${MODULE} v1.0.0 h1:AAAA\n`, /malformed sum/],
  };
  for (const [what, [text, result]] of Object.entries(texts)) {
    it(`reads a record with ${what}`, async () => {
      server.log.add(MODULE, 'v1.0.0', text);
      const lookup = clientOf().lookup(MODULE, 'v1.0.0');
      if (!(result instanceof RegExp)) expect(await lookup).to.deep.include(result);
      else expect((await failureOf(lookup)).message).to.match(result);
    });
  }

  it('refuses an answer above 1 MiB, even a true one', async () => {
    const long = `${'x'.repeat(1000)}\n`.repeat(1100);
    server.log.add(MODULE, 'v1.0.0', `${MODULE} v1.0.0 ${sumOf('z')}\n${long}`);
    const failure = await failureOf(clientOf().lookup(MODULE, 'v1.0.0'));
    expect(failure).to.have.property('kind', 'integrity');
    expect(failure.message).to.match(/larger than 1 MiB$/);
  });

  for (const [module, version] of [
    ['nodot', 'v1.0.0'],
    [MODULE, 'main'],
    [MODULE, 'v1.0'],
    [`${MODULE}/../x`, 'v1.0.0'],
    ['', ''],
  ] as const) {
    it(`asks nothing for ${JSON.stringify(`${module}@${version}`)}`, async () => {
      expect(await failureOf(clientOf().lookup(module, version))).to.have.property(
        'kind',
        'invalid',
      );
      expect(server.requests).to.deep.equal([]);
    });
  }

  it('says how sums differ from a record', () => {
    const record = {
      database: 'sums.example.org',
      module: MODULE,
      version: 'v1.0.0',
      zip: 'h1:z',
      mod: 'h1:m',
    };
    expect(compareSums(record, { zip: 'h1:z', mod: 'h1:m' })).to.equal(undefined);
    expect(compareSums(record, {})).to.equal(undefined);
    expect(compareSums(record, { zip: 'h1:z', mod: 'h1:x' })).to.equal(
      'the go.mod of example.com/Mod@v1.0.0 has h1:x, checksum database sums.example.org says h1:m',
    );
    expect(compareSums({ ...record, zip: undefined }, { zip: 'h1:z' })).to.equal(
      'the zip of example.com/Mod@v1.0.0 has h1:z, checksum database sums.example.org holds no sum of it',
    );
  });
});
