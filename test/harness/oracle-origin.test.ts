import { pipeline } from 'node:stream/promises';
import { expect } from 'chai';
import { HttpClient, readBytes } from '../support/http-client.ts';
import { BodyCheck, checkBody, oracleBytes, WrongBodyError } from '../support/oracle-bytes.ts';
import { OracleOrigin } from '../support/oracle-origin.ts';
import { OracleProcess } from '../support/oracle-process.ts';
import { Random } from '../support/random.ts';
import { rawExchange } from '../support/raw-http.ts';

const NAME = { seed: 7, key: '/a?size=100000', version: 2 };
const CHECK = { seed: 7, key: NAME.key, versions: [1, 2, 3] };

describe('oracle bytes', () => {
  it('are the same from any offset', () => {
    const whole = oracleBytes(NAME, 5000);
    for (const offset of [0, 1, 15, 16, 17, 4095, 4999]) {
      expect(oracleBytes(NAME, 5000 - offset, offset).equals(whole.subarray(offset))).to.equal(
        true,
      );
    }
  });

  it('differ by seed, key and version', () => {
    const others = [
      { ...NAME, seed: 8 },
      { ...NAME, key: '/b' },
      { ...NAME, version: 3 },
    ];
    for (const other of others) {
      expect(oracleBytes(other, 64).equals(oracleBytes(NAME, 64))).to.equal(false);
    }
  });

  it('name their version, whatever the chunks', () => {
    const random = new Random();
    const body = oracleBytes(NAME, 100_000);
    const check = new BodyCheck({ ...CHECK, size: 100_000 });
    for (let at = 0; at < body.length; ) {
      const size = random.integer(1, 5000);
      check.write(body.subarray(at, at + size));
      at += size;
    }
    expect(check.end()).to.deep.equal({ version: 2, size: 100_000 });
  });

  it('show one wrong bit, and where it is', () => {
    const random = new Random();
    for (let round = 0; round < 50; round++) {
      const body = oracleBytes(NAME, 10_000);
      const at = random.integer(0, body.length - 1);
      body[at] = (body[at] ?? 0) ^ (1 << random.integer(0, 7));
      expect(() => checkBody(CHECK, body)).to.throw(WrongBodyError, `byte ${at} `);
    }
  });

  it('show a body that is glued from two versions', () => {
    const body = Buffer.concat([
      oracleBytes(NAME, 500),
      oracleBytes({ ...NAME, version: 3 }, 500, 500),
    ]);
    expect(() => checkBody(CHECK, body)).to.throw(WrongBodyError, 'byte 500 ');
  });

  it('show a body that is short, long, or begins elsewhere', () => {
    const check = { ...CHECK, size: 1000 };
    expect(() => checkBody(check, oracleBytes(NAME, 999))).to.throw(WrongBodyError, 'only 999 of');
    expect(() => checkBody(check, oracleBytes(NAME, 1001))).to.throw(WrongBodyError, '1001 bytes');
    expect(() => checkBody(CHECK, oracleBytes(NAME, 99, 1))).to.throw(WrongBodyError, 'byte 0 ');
    expect(checkBody({ ...CHECK, offset: 1 }, oracleBytes(NAME, 99, 1)).version).to.equal(2);
  });
});

describe('oracle origin', () => {
  let origin: OracleOrigin;
  let client: HttpClient;

  beforeEach(async () => {
    origin = await OracleOrigin.start();
    client = new HttpClient();
  });

  afterEach(async () => {
    await client[Symbol.asyncDispose]();
    await origin[Symbol.asyncDispose]();
  });

  it('sends the bytes of the key and its present version', async () => {
    const key = '/a?size=200000';
    const first = await client.get(origin.url + key);
    expect(origin.check(key, { size: 200_000 }).sink().writable).to.equal(true);
    expect(checkBody({ seed: origin.seed, key, versions: [1] }, first.body).size).to.equal(200_000);
    expect(origin.bumpVersion(key)).to.equal(2);
    const { body } = await client.stream(origin.url + key);
    const check = origin.check(key, { size: 200_000 });
    await pipeline(body, check.sink());
    expect(check.end().version).to.equal(2);
  });

  it('counts requests by key, the most at a time, and its connections', async () => {
    const open = Promise.withResolvers<void>();
    origin.rule = () => ({ delay: open.promise });
    const answers = ['/a', '/a', '/b'].map((key) => client.get(origin.url + key));
    await origin.asked(3);
    expect(origin.sockets.open).to.equal(3);
    open.resolve();
    await Promise.all(answers);
    origin.rule = undefined;
    await client.get(`${origin.url}/a`);
    expect(origin.counts('/a')).to.deep.equal({ requests: 3, peak: 2 });
    expect(origin.counts()).to.deep.equal({ requests: 4, peak: 3 });
    expect(origin.seen.map(({ key }) => key).sort()).to.deep.equal(['/a', '/a', '/a', '/b']);
    origin.resetCounts();
    expect(origin.counts()).to.deep.equal({ requests: 0, peak: 0 });
  });

  it('answers 304 to its own entity tag until the version changes', async () => {
    const url = `${origin.url}/tagged`;
    const etag = (await client.get(url)).headers.get('etag') ?? '';
    const headers = { 'if-none-match': etag };
    expect((await client.get(url, { headers })).status).to.equal(304);
    origin.bumpVersion('/tagged');
    expect((await client.get(url, { headers })).status).to.equal(200);
    expect((await client.get(`${url}?etag=none`)).headers.has('etag')).to.equal(false);
  });

  it('sends the status and fields asked for, by query and by rule', async () => {
    origin.rule = () => ({
      headers: [
        ['X-Twice', 'a'],
        ['X-Twice', 'b'],
      ],
    });
    const query = '?status=404&cc=no-store&vary=Accept&header=X-One:1';
    const { status, headers } = await client.get(`${origin.url}/x${query}`);
    expect(status).to.equal(404);
    expect(headers.getAll('x-twice')).to.deep.equal(['a', 'b']);
    expect(headers.getAll('cache-control')).to.deep.equal(['no-store']);
    expect(headers.get('vary')).to.equal('Accept');
    expect(headers.get('x-one')).to.equal('1');
  });

  it('waits at an offset until it is told to go on', async () => {
    const open = Promise.withResolvers<void>();
    origin.rule = () => ({ pause: { at: 1000, until: open.promise } });
    const key = '/paused?size=5000';
    const { body } = await client.stream(origin.url + key);
    const check = origin.check(key, { size: 5000 });
    check.write(await readBytes(body, 1000));
    expect(check.size).to.equal(1000);
    open.resolve();
    check.write(await readBytes(body, 4000));
    expect(check.end().version).to.equal(1);
    body.destroy();
  });

  for (const how of ['cut', 'reset']) {
    it(`${how}s the connection after so many bytes`, async () => {
      const key = `/x?size=5000&${how}=1234`;
      const { body, error } = await client.getCut(origin.url + key);
      expect(error).to.be.instanceOf(Error);
      expect(body.length).to.be.at.most(1234);
      if (how === 'cut') expect(body.length).to.equal(1234);
      origin.check(key).write(body);
    });

    it(`${how}s the connection in place of the head, and inside a chunked body`, async () => {
      const failure = await client
        .get(`${origin.url}/x?${how}=-1`)
        .catch((error: unknown) => error);
      expect(failure).to.be.instanceOf(Error);
      const { error, headers } = await client.getCut(`${origin.url}/x?chunked&${how}=100`);
      expect(error).to.be.instanceOf(Error);
      expect(headers.has('content-length')).to.equal(false);
    });
  }

  it('declares another length than it sends', async () => {
    const { body, error } = await client.getCut(`${origin.url}/x?size=100&declared=150&cut=100`);
    expect(error).to.be.instanceOf(Error);
    expect(body.length).to.equal(100);
    const raw = await rawExchange(
      origin.port,
      'GET /x?size=150&declared=100 HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n',
    );
    expect(raw.text).to.include('Content-Length: 100\r\n');
    expect(raw.text.length - raw.text.indexOf('\r\n\r\n') - 4).to.equal(150);
  });

  it('flips a bit where it is asked to', async () => {
    const key = '/x?size=2000&corrupt=1500';
    const { body } = await client.get(origin.url + key);
    expect(() => origin.check(key).write(body)).to.throw(WrongBodyError, 'byte 1500 ');
  });

  it('serves a range where it is allowed to', async () => {
    const key = '/x?size=2000&ranges';
    const headers = { range: 'bytes=100-199' };
    const { status, body, headers: fields } = await client.get(origin.url + key, { headers });
    expect(status).to.equal(206);
    expect(fields.get('content-range')).to.equal('bytes 100-199/2000');
    const check = origin.check(key, { offset: 100, size: 100 });
    check.write(body);
    expect(check.end().size).to.equal(100);
  });

  it('shows a request as it came', async () => {
    const answer = await client.get(`${origin.url}/x?echo`, { headers: { 'X-Odd-Case': 'v' } });
    const echo = JSON.parse(answer.body.toString()) as { rawHeaders: string[] };
    expect(echo.rawHeaders).to.include.members(['X-Odd-Case', 'v']);
  });

  it('sends at the rate asked for', async () => {
    const before = performance.now();
    await client.get(`${origin.url}/x?size=20000&rate=100000`);
    expect(performance.now() - before).to.be.within(150, 2000);
  });

  it('runs in a process of its own and tells its counts', async () => {
    await using apart = await OracleProcess.start(11);
    const key = '/x?size=300000';
    const { body } = await client.get(apart.url + key);
    expect(checkBody({ seed: 11, key, versions: [1] }, body).size).to.equal(300_000);
    expect(await apart.bumpVersion(key)).to.equal(2);
    const again = await client.get(apart.url + key);
    expect(checkBody({ seed: 11, key, versions: [1, 2] }, again.body).version).to.equal(2);
    expect(await apart.counts(key)).to.deep.equal({ requests: 2, peak: 1 });
    expect((await apart.seen()).length).to.equal(2);
  });
});
