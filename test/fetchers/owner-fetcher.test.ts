import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { ClusterNodes } from '../../src/fetchers/cluster-nodes.ts';
import type { Fetched, Fetcher, FetchOptions } from '../../src/fetchers/fetcher.ts';
import { OwnerFetcher } from '../../src/fetchers/owner-fetcher.ts';
import { hexToReprDigest } from '../../src/fetchers/peer-protocol.ts';
import { HeaderList } from '../../src/headers.ts';
import { eventually } from '../criteria/eventually.ts';
import { patience } from '../support/patience.ts';
import { RecordedLog } from '../support/recorded-log.ts';
import { type FakeNode, NODE_TOKEN, startNode } from './fake-node.ts';
import { ask, base, read, readText } from './requests.ts';

const SIGN_MS = 500;
const SOCKETS = 3;
/** What a busy machine may add. Milliseconds. */
const SLACK_MS = 1_000;
const SEVERAL = Array.from({ length: 200 }, (_, number) => `web\nkey ${number}`);

describe('OwnerFetcher', () => {
  let nodes: ClusterNodes;
  let one: FakeNode;
  let two: FakeNode;
  let self: FakeNode;
  let fetcher: OwnerFetcher;
  let ownAsked = 0;
  let parts = base('owner');
  let log: RecordedLog;

  beforeEach(async () => {
    one = await startNode('1');
    two = await startNode('2');
    self = await startNode('0');
    parts = base('owner');
    log = new RecordedLog();
    nodes = new ClusterNodes({
      ...parts,
      log,
      selfId: self.id,
      maxSockets: SOCKETS,
      isAsked: true,
      place: { urls: [one, two, self].map(({ url }) => new URL(url)) },
      readToken: async () => NODE_TOKEN,
    });
    await nodes.start();
    ownAsked = 0;
    const own: Fetcher = {
      name: 'own',
      fetch: async () => {
        ownAsked += 1;
        return {
          status: 200,
          headers: HeaderList.empty,
          body: Readable.from([Buffer.from('own')]),
          source: 'own',
        };
      },
    };
    fetcher = new OwnerFetcher({
      ...{ own, signMs: SIGN_MS, log, clock: parts.clock, metrics: parts.metrics },
      owners: (key) => nodes.owners(key),
    });
  });
  afterEach(async () => {
    await nodes[Symbol.asyncDispose]();
    await one[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
    await self[Symbol.asyncDispose]();
  });

  /** A key that these own, in this order. */
  const keyOf = (...owners: readonly (FakeNode | 'self')[]): string => {
    const wanted = owners.map((owner) => (owner === 'self' ? 'self' : owner.url));
    const found = SEVERAL.find((key) => {
      const order = nodes.owners(key).map((owner) => (owner === 'self' ? 'self' : owner.url));
      return wanted.every((url, at) => order[at] === url);
    });
    expect(found, wanted.join(' ')).to.be.a('string');
    return found ?? '';
  };
  const fetch = async (key: string | undefined, more: FetchOptions = {}): Promise<Fetched> =>
    await fetcher.fetch(ask('/x'), { key, ...more });
  const messages = (wanted: string): string[] =>
    log.lines.flatMap(({ level, message }) => (level === wanted ? [message] : []));
  const gives =
    (text: string, headers: Record<string, string> = {}): FakeNode['answer'] =>
    (_, response) =>
      void response.writeHead(200, { 'Caje-Status': '200', ...headers }).end(text);

  it('has the owner fetch, and says that it holds it to be the owner', async () => {
    one.answer = gives('of one');
    expect(await readText(await fetch(keyOf(one)))).to.deep.equal([200, 'of one']);
    expect(one.asked[0]?.headers).to.include({ 'caje-owner': '1', 'caje-fill': '1' });
    expect(ownAsked).to.equal(0);
  });

  it('gets by itself what it owns, what another node asks for, and what has credentials', async () => {
    await fetch(keyOf('self'));
    await fetch(undefined);
    for (const name of ['Authorization', 'Cookie'])
      await fetcher.fetch(ask('/x', [[name, 'secret']]), { key: keyOf(one) });
    expect(ownAsked).to.equal(4);
    expect(one.asked.concat(two.asked)).to.have.lengthOf(0);
  });

  it('F-49: passes over a silent owner in time, and does not ask it again at once', async () => {
    one.answer = () => {};
    const key = keyOf(one, 'self');
    const from = performance.now();
    await fetch(key);
    expect(performance.now() - from).to.be.within(SIGN_MS - 5, SIGN_MS + SLACK_MS * patience());
    await fetch(key);
    expect([ownAsked, one.asked.length]).to.deep.equal([2, 1]);
    expect(messages('warn')).to.deep.equal(['a node of the cluster cannot be used']);
    expect(parts.metrics.value('peers_down_total', 'timeout')).to.equal(1);
  });

  it('F-49: several silent nodes cost no more than one', async () => {
    one.answer = () => {};
    two.answer = () => {};
    const from = performance.now();
    await fetch(keyOf(one, two));
    expect(performance.now() - from).to.be.below(SIGN_MS + SLACK_MS * patience());
    expect(ownAsked).to.equal(1);
  });

  it('gets by itself what there is no connection left for, and does not blame the owner', async () => {
    const waiting: (() => void)[] = [];
    one.answer = (request, response) => {
      response.writeProcessing();
      waiting.push(() => gives('late')(request, response));
    };
    const key = keyOf(one, 'self');
    const asked = Array.from({ length: SOCKETS }, async () => await readText(await fetch(key)));
    await eventually('all of them', () => waiting.length === SOCKETS);
    expect(await readText(await fetch(key))).to.deep.equal([200, 'own']);
    for (const go of waiting) go();
    expect((await Promise.all(asked)).map(([, text]) => text)).to.deep.equal(
      Array(SOCKETS).fill('late'),
    );
    expect([messages('warn'), ownAsked]).to.deep.equal([[], 1]);
    one.answer = gives('again');
    expect(await readText(await fetch(key))).to.deep.equal([200, 'again']);
  });

  it('waits for one that says that it works on it', async () => {
    let begun = 0;
    one.answer = (request, response) => {
      response.writeProcessing();
      void delay(2 * SIGN_MS).then(() => gives('late')(request, response));
    };
    const fetched = await fetch(keyOf(one), { begun: () => (begun += 1) });
    expect(await readText(fetched)).to.deep.equal([200, 'late']);
    expect([begun, ownAsked]).to.deep.equal([1, 0]);
  });

  const passedOver: readonly (readonly [string, FakeNode['answer'], boolean])[] = [
    ['is full', (_, response) => response.writeHead(503).end(), true],
    ['could not fetch it', (_, response) => response.writeHead(502).end(), true],
    [
      'has nothing to do with it',
      (_, response) => response.writeHead(504, { 'Caje-Miss': '1' }).end(),
      true,
    ],
    ['says that there is a loop', (_, response) => response.writeHead(508).end(), true],
    [
      'was told 500 by the origin',
      (_, response) => response.writeHead(200, { 'Caje-Status': '500' }).end(),
      true,
    ],
    [
      'refuses it in its own words',
      (_, response) =>
        response.writeHead(403, { 'Content-Type': 'application/problem+json' }).end(),
      true,
    ],
    ['fails', (_, response) => response.writeHead(500).end(), false],
    ['is no caje node', (_, response) => response.end('hello'), false],
    ['closes the connection', (_, response) => response.destroy(), false],
    ['answers garbage', (_, response) => void response.socket?.end('garbage\r\n\r\n'), false],
    ['refuses the token', (_, response) => response.writeHead(401).end(), false],
  ];
  for (const [what, answer, isUsed] of passedOver) {
    it(`F-49: passes over an owner that ${what}, for the next by hash`, async () => {
      one.answer = answer;
      two.answer = gives('of two');
      const key = keyOf(one, two);
      expect(await readText(await fetch(key))).to.deep.equal([200, 'of two']);
      await read((await fetch(key)).body);
      expect(one.asked.length, 'asked again').to.equal(isUsed ? 2 : 1);
      expect(messages('warn')).to.have.lengthOf(isUsed ? 0 : 1);
      expect(ownAsked).to.equal(0);
    });
  }

  it('F-28: does not ask again there for what came damaged, nor for what is not kept there', async () => {
    const digest = hexToReprDigest('ab'.repeat(32));
    one.answer = gives('damaged', { 'Content-Length': '7', 'Repr-Digest': digest });
    const key = keyOf(one, 'self');
    expect(await readText(await fetch(key))).to.deep.equal([200, 'own']);
    await fetch(key);
    expect([one.asked.length, ownAsked]).to.deep.equal([1, 2]);
    expect(parts.metrics.value('peer_mismatch_total')).to.equal(1);
    expect(messages('error')).to.have.lengthOf(1);

    two.answer = gives('passed', { 'Caje-State': 'passed' });
    const other = keyOf(two, 'self');
    expect(await readText(await fetch(other))).to.deep.equal([200, 'passed']);
    expect(await readText(await fetch(other))).to.deep.equal([200, 'own']);
  });

  it('takes nothing that the origin was asked for before a purge', async () => {
    one.answer = gives('old', { 'Caje-Since': '60000' });
    const now = parts.clock.monotonic();
    const key = keyOf(one, 'self');
    expect(await readText(await fetch(key, { notBefore: () => now }))).to.deep.equal([200, 'own']);
    one.answer = gives('new', { 'Caje-Since': '0' });
    expect(await readText(await fetch(key, { notBefore: () => now }))).to.deep.equal([200, 'new']);
  });
});
