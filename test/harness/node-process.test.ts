import { expect } from 'chai';
import { expectSound } from '../support/auditor.ts';
import { HttpClient } from '../support/http-client.ts';
import { NodeProcess } from '../support/node-process.ts';
import { OracleOrigin } from '../support/oracle-origin.ts';

const MIB = 1024 * 1024;

describe('node process', function (this: Mocha.Suite) {
  this.timeout(60_000);
  let origin: OracleOrigin;
  let client: HttpClient;
  let node: NodeProcess;

  beforeEach(async () => {
    origin = await OracleOrigin.start();
    client = new HttpClient();
    node = await NodeProcess.start({
      config: {
        fetchers: { site: { type: 'origin', url: origin.url } },
        rules: [{ name: 'site', path: '/*', protocol: 'http', fetch: 'site' }],
      },
    });
  });

  afterEach(async () => {
    await node[Symbol.asyncDispose]();
    await client[Symbol.asyncDispose]();
    await origin[Symbol.asyncDispose]();
  });

  it('serves, tells its memory and counters, and leaves a sound folder behind', async () => {
    const key = '/page?size=200000';
    const { body } = await client.get(node.url + key);
    const check = origin.check(key, { size: 200_000 });
    check.write(body);
    expect(check.end().version).to.equal(1);
    const { rss, peak } = node.memory();
    expect(rss).to.be.within(20 * MIB, 1024 * MIB);
    expect(peak).to.be.at.least(rss);
    expect((await node.counters())['fetches_total{site}']).to.equal(1);
    expect(await node.stop()).to.deep.equal({ code: 0, signal: undefined });
    const { entries } = await expectSound({ dataDir: node.dataDir });
    expect(entries).to.equal(1);
  });

  it('is killed and started again on the same data and port', async () => {
    const { url } = node;
    await client.get(`${url}/page`);
    expect(await node.kill9()).to.deep.equal({ code: undefined, signal: 'SIGKILL' });
    expect(node.isRunning).to.equal(false);
    await node.restart();
    expect(node.url).to.equal(url);
    expect((await client.get(`${url}/page`)).status).to.equal(200);
    expect(node.log.filter(({ msg }) => msg === 'listening').length).to.equal(2);
  });

  it('says why a node does not start', async () => {
    const config = { rules: [{ name: 'x', path: '/*', protocol: 'http', fetch: 'nowhere' }] };
    const failure = await NodeProcess.start({ config }).catch((error: unknown) => error);
    expect(String(failure)).to.include('ended at its start').and.to.include('nowhere');
  });

  it('waits for a line of the log, and gives up when the node ends without it', async () => {
    expect((await node.logged(({ msg }) => msg === 'listening'))['listener']).to.equal('public');
    const never = node.logged(({ msg }) => msg === 'never said').catch((error: unknown) => error);
    await node.kill9();
    expect(String(await never)).to.include('ended without it');
  });
});
