import { expect } from 'chai';
import { FaultProxy } from '../support/fault-proxy.ts';
import { HttpClient, readBytes } from '../support/http-client.ts';
import { OracleOrigin } from '../support/oracle-origin.ts';

const KEY = '/x?size=100000';

describe('fault proxy', () => {
  let origin: OracleOrigin;
  let proxy: FaultProxy;
  let client: HttpClient;

  beforeEach(async () => {
    origin = await OracleOrigin.start();
    proxy = await FaultProxy.start(origin.url);
    client = new HttpClient();
  });

  afterEach(async () => {
    await client[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
    await origin[Symbol.asyncDispose]();
  });

  function checkWhole(body: Buffer): void {
    const check = origin.check(KEY, { size: 100_000 });
    check.write(body);
    expect(check.end().version).to.equal(1);
  }

  it('passes everything on as long as nothing is asked of it', async () => {
    await using single = new HttpClient({ connections: 1 });
    checkWhole((await single.get(proxy.url + KEY)).body);
    checkWhole((await single.get(proxy.url + KEY)).body);
    expect(proxy.connections.opened).to.equal(1);
  });

  it('delays each piece', async () => {
    proxy.fault = { delayMs: 50 };
    const before = performance.now();
    checkWhole((await client.get(proxy.url + KEY)).body);
    expect(performance.now() - before).to.be.at.least(95);
  });

  for (const fault of [{ cutAfter: 20_000 }, { resetAfter: 20_000 }]) {
    const [name] = Object.keys(fault);
    it(`ends a connection by ${name}`, async () => {
      proxy.fault = fault;
      const { body, error } = await client.getCut(proxy.url + KEY);
      expect(error).to.be.instanceOf(Error);
      expect(body.length).to.be.lessThan(20_000);
      origin.check(KEY).write(body);
      proxy.fault = {};
      checkWhole((await client.get(proxy.url + KEY)).body);
    });
  }

  for (const fault of [{ stallAfter: 20_000 }, { partition: true }]) {
    const [name] = Object.keys(fault);
    it(`holds bytes back by ${name} and goes on when that is over`, async () => {
      proxy.fault = fault;
      let arrived = false;
      const answer = client.stream(proxy.url + KEY).then(async ({ body }) => {
        const first = await readBytes(body, 15_000);
        const rest = readBytes(body, 100_000 - first.length).finally(() => {
          arrived = true;
        });
        if ('stallAfter' in fault) proxy.fault = {};
        return Buffer.concat([first, await rest]);
      });
      if ('partition' in fault) {
        await expectSilence(origin, 100);
        expect(arrived).to.equal(false);
        proxy.fault = {};
      }
      checkWhole(await answer);
    });
  }

  it('refuses new connections, and resets open ones on demand', async () => {
    const { body } = await client.stream(`${proxy.url}/slow?size=100000&rate=1000`);
    proxy.fault = { refuse: true };
    proxy.resetAll();
    expect(await readBytes(body, 100_000).catch((error: unknown) => error)).to.be.instanceOf(Error);
    body.destroy();
    expect(await client.get(proxy.url + KEY).catch((error: unknown) => error)).to.be.instanceOf(
      Error,
    );
    proxy.fault = {};
    checkWhole((await client.get(proxy.url + KEY)).body);
  });
});

/** Resolves after so many milliseconds in which nothing reached the origin. */
async function expectSilence(origin: OracleOrigin, ms: number): Promise<void> {
  const asked = origin.asked(1).then(() => 'asked');
  const silent = new Promise((resolve) => setTimeout(resolve, ms, 'silent'));
  expect(await Promise.race([asked, silent])).to.equal('silent');
}
