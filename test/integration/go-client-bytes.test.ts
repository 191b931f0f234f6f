import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { GoRegistry } from '../support/go-registry.ts';
import { goZip } from '../support/go-zip.ts';
import { HttpClient } from '../support/http-client.ts';
import { largeGoZip } from '../support/large-go-zip.ts';
import { NodeProcess } from '../support/node-process.ts';
import { seededBytes } from '../support/seeded-bytes.ts';

const MIB = 1024 * 1024;
const LARGE = 300 * MIB;
/** P13: bytes that a node may take beyond what it has when idle, whatever the body's size. */
const GROWTH = 150 * MIB;
const SUMDB = 'sums.example.org/sumdb';
/** Milliseconds for 300 MiB twice, hashed on both sides. */
const LARGE_MS = 120_000;

describe('Go modules through a node, byte for byte', () => {
  let registry: GoRegistry;
  let node: NodeProcess;
  let client: HttpClient;

  before(async function () {
    this.timeout(30_000);
    client = new HttpClient();
    registry = await GoRegistry.start();
    node = await NodeProcess.start({
      config: {
        storage: { local: { type: 'disk', path: 'blobs', keepFree: 0 } },
        fetchers: { modules: { type: 'upstreams', list: registry.url } },
        rules: [
          {
            name: 'go',
            path: '/go/*',
            strip: true,
            protocol: 'go',
            fetch: 'modules',
            sumdb: [{ name: SUMDB }],
          },
        ],
      },
    });
  });

  after(async () => {
    await node?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
    await client?.[Symbol.asyncDispose]();
  });

  const get = async (path: string) => await client.get(`${node.url}/go${path}`);
  const digestOf = async (path: string): Promise<{ size: number; digest: string }> => {
    const { status, body } = await client.stream(`${node.url}/go${path}`);
    expect(status).to.equal(200);
    const hash = createHash('sha256');
    let size = 0;
    for await (const chunk of body) {
      hash.update(chunk as Buffer);
      size += (chunk as Buffer).length;
    }
    return { size, digest: hash.digest('hex') };
  };

  const untouched: readonly [path: string, body: string][] = [
    ['/example.com/odd/@v/list', 'v1.0.0 2024-01-02T03:04:05Z\r\n\r\nmaster\nv1.0.0\n\tv0.9.0'],
    ['/example.com/odd/@latest', '{"Version":"v1.0.0",\n "Origin":{"VCS":"git"},"Later":1}'],
    ['/example.com/odd/@v/v1.0.0.info', '{"Time":"2024-01-02T04:04:05+01:00","Version":"v1.0.0"}'],
    ['/example.com/odd/@v/v1.0.1.info', 'not JSON at all'],
    ['/example.com/odd/@v/v1.0.0.mod', '\uFEFFno module line here\r\n'],
    ['/example.com/odd/@v/main.info', '{"Version":"v1.0.1-0.20240102030405-abcdefabcdef"}\n'],
  ];
  for (const [path, body] of untouched) {
    it(`passes ${path} on untouched, from the upstream and from the store`, async () => {
      registry.put(path, body);

      const arriving = await get(path);
      const stored = await get(path);

      for (const answer of [arriving, stored]) {
        expect(answer.status).to.equal(200);
        expect(answer.body.toString()).to.equal(body);
      }
      // What no client takes is passed on and not kept.
      expect(registry.asked(path)).to.equal(body.startsWith('not JSON') ? 2 : 1);
    });
  }

  it('tells a module without versions from one that does not exist', async () => {
    registry.put('/example.com/empty/@v/list', '');

    const empty = await get('/example.com/empty/@v/list');
    const absent = await get('/example.com/nowhere/@v/list');

    expect(empty.status).to.equal(200);
    expect(empty.body).to.have.lengthOf(0);
    expect(absent.status).to.equal(404);
    expect(absent.body.toString()).to.match(/^not found: this registry/);
  });

  it('passes a checksum database on whose name holds a path', async () => {
    registry.put(`/sumdb/${SUMDB}/latest`, 'go.sum database tree\n1\nAAAA\n');
    registry.put(`/sumdb/${SUMDB}/tile/8/0/000.p/1`, Buffer.from([0, 1, 2, 255]));

    const supported = await get(`/sumdb/${SUMDB}/supported`);
    const latest = await get(`/sumdb/${SUMDB}/latest`);
    const tile = await get(`/sumdb/${SUMDB}/tile/8/0/000.p/1`);
    const other = await get('/sumdb/sums.example.org/supported');

    expect(supported.status).to.equal(200);
    expect(latest.body.toString()).to.equal('go.sum database tree\n1\nAAAA\n');
    expect(tile.body).to.deep.equal(Buffer.from([0, 1, 2, 255]));
    expect(other.status).to.equal(404);
    expect(registry.asked('/supported')).to.equal(0);
  });

  it('G1: keeps each file by itself, whatever becomes of the others', async () => {
    registry.release('example.com/whole', 'v1.0.0');
    const at = '/example.com/whole/@v/v1.0.0';
    registry.put(`${at}.mod`, { status: 500, body: 'broken\n' });
    const before = registry.requests.length;

    const zip = await get(`${at}.zip`);
    expect(registry.requests.slice(before)).to.deep.equal([`${at}.zip`]);
    const mod = await get(`${at}.mod`);
    const info = await get(`${at}.info`);
    const again = await get(`${at}.zip`);

    expect([zip.status, mod.status, info.status, again.status]).to.deep.equal([200, 502, 200, 200]);
    expect(again.body.equals(zip.body)).to.equal(true);
    expect(registry.asked('whole/@v/v1.0.0.zip')).to.equal(1);
  });

  it('G2: streams a zip of 300 MiB in bounded memory', async function () {
    this.timeout(LARGE_MS);
    const zip = largeGoZip('example.com/large', 'v1.0.0', seededBytes(MIB), LARGE / MIB);
    const expected = createHash('sha256');
    for (const piece of zip.pieces()) expected.update(piece);
    const digest = expected.digest('hex');
    const path = '/example.com/large/@v/v1.0.0.zip';
    registry.put(path, { size: zip.size, body: zip.pieces });
    const idle = node.memory().rss;

    expect(await digestOf(path)).to.deep.equal({ size: zip.size, digest });
    expect(await digestOf(path)).to.deep.equal({ size: zip.size, digest });

    expect(node.memory().peak - idle).to.be.below(GROWTH);
    expect(registry.asked(path)).to.equal(1);
  });

  it('G10: refuses other bytes for a version that it had, and takes the same ones', async function () {
    this.timeout(30_000);
    const path = '/example.com/pinned/@v/v1.0.0.zip';
    const zipOf = (seed: string): Buffer =>
      goZip('example.com/pinned', 'v1.0.0', { 'data.bin': seededBytes(200_000, seed) });
    const first = zipOf('first');
    registry.put(path, first);
    expect((await get(path)).body.equals(first)).to.equal(true);
    await node.stop();
    await rm(join(node.dataDir, 'blobs'), { recursive: true });
    await node.restart();
    registry.put(path, zipOf('second'));

    const changed = await client.getCut(`${node.url}/go${path}`);
    expect(changed.error).to.be.instanceOf(Error);
    expect((await node.counters())['pinned_mismatch_total']).to.equal(1);

    registry.put(path, first);
    expect((await get(path)).body.equals(first)).to.equal(true);
    expect((await get(path)).body.equals(first)).to.equal(true);
    expect(registry.asked(path)).to.equal(3);
  });
});
