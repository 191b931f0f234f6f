import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { HttpClient } from '../support/http-client.ts';
import { NodeProcess } from '../support/node-process.ts';
import { OracleOrigin } from '../support/oracle-origin.ts';
import { eventually } from './eventually.ts';
import { entryRows, keptBodies } from './node-files.ts';
import { peerConfig } from './peer-config.ts';
import { Site, xCache } from './site.ts';

const greetingFetcher = fileURLToPath(
  new URL('../fixtures/plugins/greeting-fetcher.ts', import.meta.url),
);

describe('criteria of fetchers and rules', function () {
  this.timeout(60_000);

  it('F1: two hosts with the same path have two origins and two entries', async () => {
    await using other = await OracleOrigin.start();
    await using site = await Site.start({
      rules: [{ name: 'other', host: 'other.test', fetch: 'other' }],
      fetchers: { other: { type: 'origin', url: other.url } },
    });
    const here = await site.keep('/page');
    const there = await site.getAs('other.test', '/page');
    expect(here.body.equals(site.bytes('/page', 1024))).to.equal(true);
    const check = other.check('/page', { size: 1024 });
    check.write(there.body);
    expect(check.end().version).to.equal(1);
    const rows = await eventually('two rows', () => {
      const found = entryRows(site.node, '/page');
      return found.length === 2 ? found : undefined;
    });
    expect(rows.map(({ rule }) => rule).sort()).to.deep.equal(['other', 'site']);
    for (const [answer, again] of [
      [here, await site.get('/page')],
      [there, await site.getAs('other.test', '/page')],
    ] as const) {
      expect(xCache(again)).to.equal('HIT');
      expect(again.body.equals(answer.body)).to.equal(true);
    }
    expect([site.origin, other].map((origin) => origin.counts('/page').requests)).to.deep.equal([
      1, 1,
    ]);
  });

  it('F2: another name in a rule is another source after a restart, an unknown one exits 2', async () => {
    await using first = await OracleOrigin.start();
    await using second = await OracleOrigin.start();
    await using client = new HttpClient();
    const rule: Record<string, unknown> = { name: 'all', protocol: 'http', fetch: 'first' };
    const config = {
      fetchers: {
        first: { type: 'origin', url: first.url },
        second: { type: 'origin', url: second.url },
      },
      rules: [rule],
    };
    await using node = await NodeProcess.start({ config });
    expect((await client.get(`${node.url}/a`)).status).to.equal(200);
    expect([first, second].map((origin) => origin.counts().requests)).to.deep.equal([1, 0]);

    await node.stop();
    rule['fetch'] = 'second';
    await node.restart();
    expect((await client.get(`${node.url}/b`)).status).to.equal(200);
    expect([first, second].map((origin) => origin.counts().requests)).to.deep.equal([1, 1]);

    await node.stop();
    rule['fetch'] = 'third';
    const error = await node.restart().catch((thrown: Error) => thrown);
    expect(error).to.be.instanceOf(Error);
    expect((await node.ended).code).to.equal(2);
    expect(node.lastWords()).to.match(/caje\.yaml:\d+: rules\[0\]\.fetch.*first.*second.*third/);
  });

  it('F3: a fetcher of a plug-in is asked, kept, and a HIT the next time', async () => {
    await using site = await Site.start({
      config: { plugins: [greetingFetcher] },
      rules: [{ name: 'greet', host: 'greet.test', fetch: 'hello' }],
      fetchers: { hello: { type: 'greeting', greeting: 'Good morning' } },
    });
    const first = await site.getAs('greet.test', '/world');
    const second = await site.getAs('greet.test', '/world');
    expect([first, second].map(xCache)).to.deep.equal(['MISS', 'HIT']);
    for (const { body } of [first, second]) {
      expect(body.toString()).to.equal('Good morning, /world, for the 1. time');
    }
    await eventually('its row', () => entryRows(site.node, '/world')[0]);
  });

  it('F5: a hundred requests at once open no more than maxSockets connections', async () => {
    let most = 0;
    await using origin = await OracleOrigin.start({
      rule: () => {
        most = Math.max(most, origin.sockets.open);
        return { delay: 20 };
      },
    });
    await using site = await Site.start({
      rules: [{ name: 'few', host: 'few.test', fetch: 'few' }],
      fetchers: { few: { type: 'origin', url: origin.url, maxSockets: 4 } },
    });
    const answers = await Promise.all(
      Array.from({ length: 100 }, async (_, number) => await site.getAs('few.test', `/${number}`)),
    );
    expect(answers.filter(({ status }) => status !== 200)).to.deep.equal([]);
    expect(origin.counts().requests).to.equal(100);
    expect(origin.counts().peak).to.be.within(2, 4);
    expect(most).to.be.within(2, 4);
  });
});

describe('criteria of peers', function () {
  this.timeout(60_000);

  it('F6: what came through a peer is kept, and a HIT when peer and origin are gone', async () => {
    await using peer = await peerConfig();
    await using first = await Site.start({ config: peer.listening });
    await using second = await Site.start({
      fetchers: { site: peer.asking(first.node.peerUrl) },
    });
    for (const size of [1_000, 3_000_000]) {
      const path = `/page?size=${size}`;
      const answer = await second.keep(path);
      expect([answer.status, xCache(answer)]).to.deep.equal([200, 'MISS']);
      expect(answer.body.equals(first.bytes(path, size))).to.equal(true);
      expect(first.origin.counts(path).requests).to.equal(1);
      const [row] = entryRows(second.node, path);
      expect(await keptBodies(second.node)).to.include(row?.digest);
      await eventually('the row of the peer', () => entryRows(first.node, path)[0]);
    }
    await first[Symbol.asyncDispose]();
    for (const size of [1_000, 3_000_000]) {
      const again = await second.get(`/page?size=${size}`);
      expect(xCache(again)).to.equal('HIT');
      expect(again.body.equals(first.bytes(`/page?size=${size}`, size))).to.equal(true);
    }
  });

  it('F7: a peer before the origin is asked for what it has, not to fetch; without it the origin serves', async () => {
    await using peer = await peerConfig();
    await using first = await Site.start({
      config: peer.listening,
      rules: [{ name: 'shared', host: 'shared.test' }],
    });
    await using second = await Site.start({
      rules: [{ name: 'shared', host: 'shared.test', fetch: ['near', 'site'] }],
      fetchers: { near: peer.asking(first.node.peerUrl) },
    });
    const origins = (path: string): number[] =>
      [first, second].map(({ origin }) => origin.counts(path).requests);

    expect((await second.getAs('shared.test', '/missing')).status).to.equal(200);
    expect(origins('/missing')).to.deep.equal([0, 1]);
    expect(entryRows(first.node)).to.deep.equal([]);
    const asked = (): number => first.node.log.filter(({ peer: name }) => name === 'other').length;
    await eventually('a request of the peer', asked);
    expect(asked(), 'requests of the peer').to.equal(1);

    await first.keep('/there', { headers: { host: 'shared.test' } });
    const near = await second.getAs('shared.test', '/there');
    expect(near.body.equals(first.bytes('/there', 1024))).to.equal(true);
    expect(origins('/there')).to.deep.equal([1, 0]);

    await first.node.kill9();
    const far = await second.getAs('shared.test', '/down');
    expect([far.status, xCache(far)]).to.deep.equal([200, 'MISS']);
    expect(origins('/down')).to.deep.equal([0, 1]);
  });

  for (const [what, chain, status] of [
    ['a circle of peers is 508', ['near'], 508],
    ['a circle of peers with an origin behind it is answered from there', ['near', 'site'], 200],
  ] as const) {
    it(`F10: ${what}, without going round`, async () => {
      await using peer = await peerConfig();
      await using origin = await OracleOrigin.start();
      const near = peer.asking('http://127.0.0.1:9');
      const configOf = (other: Record<string, unknown>): Record<string, unknown> => ({
        ...peer.listening,
        fetchers: { near: other, site: { type: 'origin', url: origin.url } },
        rules: [{ name: 'round', protocol: 'http', fetch: chain }],
      });
      await using first = await NodeProcess.start({ config: configOf(near) });
      await using second = await NodeProcess.start({
        config: configOf(peer.asking(first.peerUrl)),
      });
      await first.stop();
      near['url'] = second.peerUrl;
      await first.restart();

      await using client = new HttpClient();
      const answer = await client.get(`${first.url}/page`, {
        headers: { host: 'round.test' },
        signal: AbortSignal.timeout(10_000),
      });
      expect(answer.status).to.equal(status);
      expect(origin.counts().requests).to.equal(status === 200 ? 1 : 0);
      const rounds = (): number =>
        [...first.log, ...second.log].filter(({ peer: name }) => name === 'other').length;
      // A log line comes after its answer.
      await eventually('a request of a peer', rounds);
      expect(rounds()).to.be.at.most(3);
      if (status === 508) {
        expect(JSON.parse(answer.body.toString())).to.include({ code: 'loop' });
      }
    });
  }
});
