import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { request } from 'undici';
import { BLOCK_SIZE } from '../../src/body.ts';
import { SystemClock } from '../../src/clock.ts';
import {
  hexToReprDigest,
  PEER_BLOB_PATH,
  PEER_NODE_PATH,
  PEER_PROTOCOL,
  PEER_RESOURCE_PATH,
} from '../../src/fetchers/peer-protocol.ts';
import type { OpenBlob } from '../../src/http/peer-blob.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import type { Protocol, ProtocolRequest } from '../../src/protocol/protocol.ts';
import { MemoryBackend } from '../../src/storage/memory-backend.ts';
import { bytesContent, EDGE_NODE, protocolOf, respond } from '../support/edge.ts';
import { incomingOf } from '../support/incoming.ts';
import { PEER_TOKEN, type Peer, startPeer } from '../support/peer-edge.ts';
import { seededBytes } from '../support/seeded-bytes.ts';

const TARGET = 'http://www.example.com/a';
const BYTES = seededBytes(2 * BLOCK_SIZE + 5, 'peer');
const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();
const DIGEST = sha256(BYTES).toString('hex');

describe('what the peer listener answers', () => {
  const kept: Protocol['handle'] = async () =>
    respond({ selectable: true, content: bytesContent(BYTES, { bytes: BYTES, digest: DIGEST }) });
  const withToken = { authorization: `Bearer ${PEER_TOKEN}` };
  const get = async (peer: Peer, path: string, headers = {}, method = 'GET') =>
    await request(peer.url + path, { method, headers: { ...withToken, ...headers } } as object);

  it('says who it is to those who show a token', async () => {
    await using peer = await startPeer(kept);
    const { body } = await get(peer, PEER_NODE_PATH);
    expect(await body.json()).to.deep.equal({
      nodeId: EDGE_NODE,
      version: '1.2.3',
      protocol: PEER_PROTOCOL,
      draining: false,
    });
    const refused = await request(peer.url + PEER_NODE_PATH);
    expect(refused.statusCode).to.equal(401);
    await refused.body.dump();
  });

  it('sends the digests of the blocks along with a body that is whole', async () => {
    await using peer = await startPeer(kept);
    const { headers, body } = await peer.ask(TARGET);
    const parts = [0, 1, 2].map((at) =>
      sha256(BYTES.subarray(at * BLOCK_SIZE, (at + 1) * BLOCK_SIZE)),
    );
    expect(headers['caje-blocks']).to.equal(Buffer.concat(parts).toString('base64'));
    expect(headers['repr-digest']).to.equal(hexToReprDigest(DIGEST));
    expect(headers['caje-state']).to.equal('kept');
    await body.dump();
  });

  const states = [
    ['kept', { phase: 'stale' }],
    ['kept', { phase: 'revalidated' }],
    ['filling', { phase: 'miss', stored: true }],
    ['passed', { phase: 'miss', stored: false }],
    ['passed', { phase: 'bypass' }],
  ] as const;
  for (const [state, report] of states) {
    it(`says that an answer is ${state} where it is ${JSON.stringify(report)}`, async () => {
      await using peer = await startPeer(async () => respond({ report }));
      const { headers, body } = await peer.ask(TARGET, { 'caje-fill': '1' });
      expect(headers['caje-state']).to.equal(state);
      await body.dump();
    });
  }

  it('says how long ago the origin was asked', async () => {
    const askedAt = Date.now() - 5_000;
    await using peer = await startPeer(async () => respond({ report: { phase: 'hit', askedAt } }));
    const { headers, body } = await peer.ask(TARGET);
    expect(Number(headers['caje-since'])).to.be.within(5_000, 15_000);
    await body.dump();
  });

  it('looks up by HEAD, and has nothing fetched for it', async () => {
    const seen: ProtocolRequest[] = [];
    await using peer = await startPeer(async (asked) => {
      seen.push(asked);
      return respond({ content: bytesContent('x') });
    });
    const headers = { 'caje-target': TARGET, 'caje-fill': '1', 'caje-owner': '1' };
    const answer = await get(peer, PEER_RESOURCE_PATH, headers, 'HEAD');
    expect(answer.statusCode).to.equal(200);
    expect(answer.headers).to.include({ 'caje-state': 'kept', 'caje-size': '1' });
    expect(seen[0]).to.deep.include({ method: 'HEAD', onlyIfCached: true });
    expect(seen[0]?.peer?.asOwner).to.equal(false);
    await answer.body.dump();
  });

  it('answers 102 once, as soon as somebody works on what was asked for', async () => {
    const head = Promise.withResolvers<void>();
    await using peer = await startPeer(async ({ peer: asks }) => {
      expect(asks?.asOwner).to.equal(true);
      asks?.begun();
      asks?.begun();
      await head.promise;
      return respond({ content: bytesContent('late') });
    });
    const interim: number[] = [];
    const answer = await new Promise<string>((resolve, reject) => {
      const headers = { ...withToken, 'caje-target': TARGET, 'caje-fill': '1', 'caje-owner': '1' };
      httpRequest(peer.url + PEER_RESOURCE_PATH, { headers, agent: false })
        .on('information', ({ statusCode }) => {
          interim.push(statusCode);
          head.resolve();
        })
        .on('response', (response) => void text(response).then(resolve, reject))
        .on('error', reject)
        .end();
    });
    expect([answer, interim]).to.deep.equal(['late', [102]]);
  });

  it('gives what is on its way to a peer that only looks', async () => {
    await using peer = await startPeer(async () =>
      respond({
        report: { phase: 'miss', collapsed: true, stored: true },
        content: bytesContent('on its way'),
      }),
    );
    const { statusCode, body } = await peer.ask(TARGET);
    expect([statusCode, await body.text()]).to.deep.equal([200, 'on its way']);
  });

  describe('bodies by digest', () => {
    let peer: Peer;

    before(async () => {
      const metrics = new Metrics();
      const backend = new MemoryBackend({
        ...{ name: 'memory', metrics, clock: new SystemClock(), log: silentLogger },
      });
      const { digest } = await backend.put(incomingOf(BYTES));
      const open: OpenBlob = async (wanted, options) => {
        const opened = wanted === digest ? await backend.open(wanted, options) : undefined;
        return opened && { opened, from: backend };
      };
      peer = await startPeer(protocolOf(kept).handle, {}, open);
    });
    after(async () => await peer[Symbol.asyncDispose]());

    it('come whole, with their digests', async () => {
      const { statusCode, headers, body } = await get(peer, `${PEER_BLOB_PATH}/${DIGEST}`);
      expect(statusCode).to.equal(200);
      expect(headers['repr-digest']).to.equal(hexToReprDigest(DIGEST));
      expect(Buffer.from(String(headers['caje-blocks']), 'base64')).to.have.lengthOf(3 * 32);
      expect(Buffer.from(await body.arrayBuffer()).equals(BYTES)).to.equal(true);
    });

    it('come in part, and as a head', async () => {
      const path = `${PEER_BLOB_PATH}/${DIGEST}`;
      const part = await get(peer, path, { range: `bytes=${BLOCK_SIZE - 2}-${BLOCK_SIZE + 1}` });
      expect(part.statusCode).to.equal(206);
      const got = Buffer.from(await part.body.arrayBuffer());
      expect(got.equals(BYTES.subarray(BLOCK_SIZE - 2, BLOCK_SIZE + 2))).to.equal(true);
      const head = await get(peer, path, {}, 'HEAD');
      expect(head.headers['content-length']).to.equal(String(BYTES.length));
      await head.body.dump();
    });

    for (const [what, name, status] of [
      ['are not found where none is kept', 'a'.repeat(64), 404],
      ['are named by nothing but a digest', '..%2f..%2fnode.db', 400],
      ['are not named in upper case', DIGEST.toUpperCase(), 400],
    ] as const) {
      it(what, async () => {
        const { statusCode, body } = await get(peer, `${PEER_BLOB_PATH}/${name}`);
        expect(statusCode).to.equal(status);
        await body.dump();
      });
    }

    it('are for those alone who show a token', async () => {
      const { statusCode, body } = await request(`${peer.url}${PEER_BLOB_PATH}/${DIGEST}`);
      expect(statusCode).to.equal(401);
      await body.dump();
    });
  });
});
