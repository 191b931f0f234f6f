import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { expect } from 'chai';
import { GoRegistry } from '../support/go-registry.ts';
import { goZip } from '../support/go-zip.ts';
import { type Answer, HttpClient } from '../support/http-client.ts';
import { largeGoZip } from '../support/large-go-zip.ts';
import { NodeProcess } from '../support/node-process.ts';
import { eventually } from './eventually.ts';
import { entryRows, keptBodies } from './node-files.ts';
import { peerConfig } from './peer-config.ts';
import { Site, type SiteOptions, xCache } from './site.ts';

const MODULE = '/example.org/some/module';
const ARTIFACTS: Readonly<Record<string, Buffer>> = {
  zip: goZip('example.org/some/module', 'v1.0.0', { 'large.bin': randomBytes(300_000) }),
  info: Buffer.from('{"Version":"v1.0.0","Time":"2020-03-02T10:00:00Z"}'),
  mod: Buffer.from('module example.org/some/module\n\ngo 1.24\n'),
};
const MIB = 1024 ** 2;

/** A node with a Go rule below `/go/` whose upstream is the site's origin: a registry double. */
async function startRegistry(options: SiteOptions = {}): Promise<Site> {
  const site = await Site.start({
    ...options,
    rules: [{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'site', sumdb: [] }],
    fetchers: (url) => ({ site: { type: 'upstreams', list: url } }),
  });
  for (const [kind, body] of Object.entries(ARTIFACTS)) {
    site.serve(`${MODULE}/@v/v1.0.0.${kind}`, { body, omit: ['Cache-Control'], etag: false });
  }
  return site;
}

/** Asks for a file of a module and waits for its row, whose key is the path without the rule's prefix. */
async function keep(site: Site, path: string): Promise<Answer> {
  return await site.keep(`/go${path}`, {}, path.slice(1));
}

describe('criteria of Go modules', function () {
  this.timeout(60_000);

  it('G1: zip, info and mod are each fetched once and HITs then; one that fails is 502 and not kept', async () => {
    await using site = await startRegistry();
    for (const [kind, body] of Object.entries(ARTIFACTS)) {
      const path = `${MODULE}/@v/v1.0.0.${kind}`;
      const first = await keep(site, path);
      expect([first.status, xCache(first)], kind).to.deep.equal([200, 'MISS']);
      const second = await site.get(`/go${path}`);
      expect([second.status, xCache(second)], kind).to.deep.equal([200, 'HIT']);
      for (const answer of [first, second]) expect(answer.body.equals(body), kind).to.equal(true);
      expect(site.origin.counts(path).requests, kind).to.equal(1);
    }
    const failing = `${MODULE}/@v/v1.1.0`;
    site.serve(`${failing}.zip`, { status: 500 });
    site.serve(`${failing}.mod`, { body: ARTIFACTS['mod'] });
    expect((await site.get(`/go${failing}.zip`)).status).to.equal(502);
    expect((await keep(site, `${failing}.mod`)).status).to.equal(200);
    expect(entryRows(site.node, 'v1.1.0.zip')).to.deep.equal([]);
    site.serve(`${failing}.zip`, { body: ARTIFACTS['zip'] });
    expect((await site.get(`/go${failing}.zip`)).status).to.equal(200);
  });

  it('G2: a zip of 300 MB is streamed, within bounded memory', async function () {
    this.timeout(120_000);
    const module = MODULE.slice(1);
    const zip = largeGoZip(module, 'v2.0.0+incompatible', randomBytes(1_000_000), 300);
    await using registry = await GoRegistry.start();
    registry.put(`${MODULE}/@v/v2.0.0+incompatible.zip`, { body: zip.pieces, size: zip.size });
    await using client = new HttpClient();
    await using node = await NodeProcess.start({
      config: {
        fetchers: { modules: { type: 'upstreams', list: registry.url } },
        rules: [
          { name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules', sumdb: [] },
        ],
      },
    });
    const url = `${node.url}/go${MODULE}/@v/v2.0.0+incompatible.zip`;
    await client.get(`${node.url}/go${MODULE}/@v/list`);
    const idle = node.memory().rss;
    const expected = digestOf(zip.pieces());
    for (const cache of ['MISS', 'HIT']) {
      const answer = await client.stream(url);
      expect(xCache(answer)).to.equal(cache);
      const hash = createHash('sha256');
      for await (const piece of answer.body) hash.update(piece as Buffer);
      expect(hash.digest('hex')).to.equal(expected);
      await eventually('its row', () => entryRows(node, '.zip')[0]);
    }
    expect(node.memory().peak).to.be.lessThan(idle + 150 * MIB);
    expect(entryRows(node, '.zip')[0]?.h1).to.match(/^h1:/);
  });

  it('G3: online, list and latest are those of the upstream, byte for byte', async () => {
    await using site = await startRegistry();
    const list = 'v1.0.0\nv1.2.0-pre\n\nv1.1.0\n';
    const latest = '{"Version":"v1.1.0",  "Time":"2020-03-02T10:00:00Z","Odd":true}\n';
    site.serve(`${MODULE}/@v/list`, { body: list });
    site.serve(`${MODULE}/@latest`, { body: latest });
    expect((await site.get(`/go${MODULE}/@v/list`)).body.toString()).to.equal(list);
    expect((await site.get(`/go${MODULE}/@latest`)).body.toString()).to.equal(latest);
  });

  it('G4: a node fills itself from another without any Go binary, the registry counts one', async () => {
    await using peer = await peerConfig();
    await using first = await startRegistry({ config: peer.listening });
    const path = (process.env['PATH'] ?? '')
      .split(delimiter)
      .filter((folder) => folder !== '' && !existsSync(join(folder, 'go')))
      .join(delimiter);
    await using second = await Site.start({
      fetchers: { site: peer.asking(first.node.peerUrl) },
      rules: [{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'site' }],
      env: { PATH: [dirname(process.execPath), path].join(delimiter), GOENV: 'off' },
    });
    for (const [kind, body] of Object.entries(ARTIFACTS)) {
      const artifact = `${MODULE}/@v/v1.0.0.${kind}`;
      const answer = await keep(second, artifact);
      expect([answer.status, xCache(answer)], kind).to.deep.equal([200, 'MISS']);
      expect(answer.body.equals(body), kind).to.equal(true);
      expect(first.origin.counts(artifact).requests, kind).to.equal(1);
      const [row] = entryRows(second.node, artifact.slice(1));
      expect(await keptBodies(second.node)).to.include(row?.digest);
    }
    await first[Symbol.asyncDispose]();
    for (const kind of Object.keys(ARTIFACTS)) {
      expect(xCache(await second.get(`/go${MODULE}/@v/v1.0.0.${kind}`)), kind).to.equal('HIT');
    }
  });

  it('G10: what an upstream changes is not taken over, not even when the stored bytes are lost', async () => {
    await using site = await startRegistry({ config: { memory: { bodies: 0 } } });
    const path = `${MODULE}/@v/v1.0.0.zip`;
    const changed = randomBytes(300_000);
    await keep(site, path);
    const [row] = entryRows(site.node, path.slice(1));
    site.serve(path, { body: changed });
    const kept = await site.get(`/go${path}`, { headers: { 'cache-control': 'no-cache' } });
    expect(kept.body.equals(ARTIFACTS['zip'] ?? changed)).to.equal(true);

    const digest = row?.digest ?? '';
    await unlink(join(site.node.dataDir, 'blobs', digest.slice(0, 2), digest));
    const answer = await site.client.getCut(`${site.node.url}/go${path}`);
    const clean = answer.status === 200 && answer.error === undefined;
    expect(clean && answer.body.equals(changed), 'changed bytes in a clean answer').to.equal(false);
    await eventually(
      'a counted mismatch',
      async () => ((await site.node.counters())['pinned_mismatch_total'] ?? 0) > 0,
    );
    expect(await keptBodies(site.node)).to.deep.equal([]);
    expect(entryRows(site.node, path.slice(1)).map((one) => one.digest)).to.deep.equal([digest]);

    site.serve(path, { body: ARTIFACTS['zip'] });
    expect((await site.get(`/go${path}`)).body.equals(ARTIFACTS['zip'] ?? changed)).to.equal(true);
  });
});

function digestOf(pieces: Iterable<Buffer>): string {
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return hash.digest('hex');
}
