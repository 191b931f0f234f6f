import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { formOf } from '../support/go-sumdb-double.ts';
import { readBytes } from '../support/http-client.ts';
import { eventually } from './eventually.ts';
import { askedFor, crowd, GO_SUMDB, startGoSite, zipFor } from './go-site.ts';
import { entryRows, keptBodies, temporaryFiles } from './node-files.ts';
import { type Site, xCache } from './site.ts';

const MIB = 1024 ** 2;
/** More than fits into the buffers of a connection's start. */
const FIRST = 64 * 1024;
const CROWD = 40;
/** Milliseconds within which a hit is there, also on a busy machine. */
const HIT_MS = 2_000;
/** Milliseconds for which a slow upstream keeps those waiting who came together. */
const SLOW_MS = 700;

/** How others fetch and keep, and what went wrong: B1 to B6, B8, B9, B12, B23 and B25. */
export function goFillDefects(site: () => Site): void {
  it('B1: one file costs one request, for that file', async () => {
    for (const kind of ['info', 'mod', 'zip']) {
      const path = `/example.com/b1${kind}/@v/v1.0.0.${kind}`;
      expect((await site().get(`/go${path}`)).status).to.equal(200);
      expect(askedFor(site(), `b1${kind}`)).to.deep.equal([path]);
    }
  });

  it('B2: a zip reaches all who ask while most of it is still to come', async () => {
    const path = '/example.com/b2/@v/v1.0.0.zip';
    const gate = Promise.withResolvers<void>();
    const zip = zipFor(path, 2 * MIB);
    site().serve(path, { body: zip, pause: { at: MIB, until: gate.promise } });
    const ask = async () => await site().client.stream(`${site().node.url}/go${path}`);
    const [first, second] = [await ask(), await ask()];
    try {
      for (const { body } of [first, second]) await readBytes(body, FIRST);
    } finally {
      gate.resolve();
    }
    for (const { body } of [first, second])
      for await (const chunk of body) expect(chunk).to.have.length.above(0);
    const whole = await site().keep(`/go${path}`, {}, path.slice(1));
    expect(whole.body.equals(zip)).to.equal(true);
    expect(askedFor(site(), 'b2')).to.have.lengthOf(1);
  });

  it('B3: a hundred misses that wait hold up no hit, and end with their clients', async () => {
    const kept = '/example.com/b3/@v/v1.0.0.mod';
    await site().keep(`/go${kept}`, {}, kept.slice(1));
    const gate = Promise.withResolvers<void>();
    const leaving = new AbortController();
    const { signal } = leaving;
    const slow = Array.from({ length: 100 }, async (_, at) => {
      const path = `/example.com/slow${at}/@v/v1.0.0.zip`;
      site().serve(path, { delay: gate.promise });
      await site().get(`/go${path}`, { signal });
    });
    try {
      await eventually('the slow ones', () => askedFor(site(), 'slow').length >= 60);
      for (let time = 0; time < 20; time++) {
        const began = performance.now();
        expect(xCache(await site().get(`/go${kept}`))).to.equal('HIT');
        expect(performance.now() - began).to.be.below(HIT_MS);
      }
    } finally {
      leaving.abort();
      gate.resolve();
      await Promise.allSettled(slow);
    }
    expect((await site().get('/go/example.com/b3/@v/v1.1.0.mod')).status).to.equal(200);
  });

  it('B4: a fill does not end with the request that began it', async () => {
    const path = '/example.com/b4/@v/v1.0.0.zip';
    const gate = Promise.withResolvers<void>();
    const zip = zipFor(path, 2 * MIB);
    site().serve(path, { body: zip, pause: { at: MIB, until: gate.promise } });
    const { body } = await site().client.stream(`${site().node.url}/go${path}`);
    await readBytes(body, FIRST);
    body.destroy();
    gate.resolve();
    await eventually('its row', () => entryRows(site().node, path.slice(1))[0]);
    const answer = await site().get(`/go${path}`);
    expect([xCache(answer), answer.body.equals(zip)]).to.deep.equal(['HIT', true]);
    expect(askedFor(site(), 'b4')).to.have.lengthOf(1);
  });

  it('B5: a node killed in the middle of a fill has nothing half', async () => {
    await using own = await startGoSite();
    const path = '/example.com/b5/@v/v1.0.0.zip';
    const never = Promise.withResolvers<void>();
    const zip = zipFor(path, 2 * MIB);
    own.serve(path, { body: zip, pause: { at: MIB, until: never.promise } });
    const { body } = await own.client.stream(`${own.node.url}/go${path}`);
    await readBytes(body, FIRST);
    await own.node.kill9();
    never.resolve();
    await own.node.restart();
    expect([entryRows(own.node), await keptBodies(own.node)]).to.deep.equal([[], []]);
    own.serve(path, { body: zip });
    const answer = await own.keep(`/go${path}`, {}, path.slice(1));
    expect(xCache(answer)).to.equal('MISS');
    expect(answer.body.equals(zip)).to.equal(true);
    await eventually(
      'no temporary file',
      async () => (await temporaryFiles(own.node)).length === 0,
    );
  });

  it('B6: a body that cannot be read is not absent, and is put right from the upstream', async () => {
    await using own = await startGoSite({}, { config: { memory: { bodies: 0 } } });
    const path = '/example.com/b6/@v/v1.0.0.zip';
    const zip = zipFor(path, MIB);
    own.serve(path, { body: zip });
    await own.keep(`/go${path}`, {}, path.slice(1));
    const digest = entryRows(own.node, path.slice(1))[0]?.digest ?? '';
    const file = join(own.node.dataDir, 'blobs', digest.slice(0, 2), digest);
    // A folder: opening it works, reading does not, also for root.
    await rm(file);
    await mkdir(file);
    own.serve(path, { status: 503 });
    const failed = await own.client.getCut(`${own.node.url}/go${path}`);
    if (failed.error === undefined) expect(failed.status).to.be.within(500, 599);
    own.serve(path, { body: zip });
    expect((await own.get(`/go${path}`)).body.equals(zip)).to.equal(true);
  });

  it('B8: a list that many ask for at once is asked for once, and then not within its minute', async () => {
    for (const path of ['/example.com/b8/@v/list', '/example.com/b8/@latest']) {
      site().serve(path, { delay: 200, body: 'v1.0.0\n' });
      await crowd(site(), CROWD, path);
      await crowd(site(), CROWD, path);
    }
    expect(askedFor(site(), 'b8')).to.have.lengthOf(2);
  });

  it('B9: what does not exist is asked for once by many, and not soon again', async () => {
    for (const at of ['b9/one/two', 'b9/one', 'b9'])
      for (const file of ['@v/list', '@latest', '@v/v1.0.0.info']) {
        const path = `/example.com/${at}/${file}`;
        site().serve(path, { status: 404, body: 'not found\n', delay: 50 });
        const asks = Array.from({ length: 20 }, async () => await site().get(`/go${path}`));
        for (const { status } of await Promise.all(asks)) expect(status).to.equal(404);
        expect((await site().get(`/go${path}`)).body.toString()).to.equal('not found\n');
      }
    expect(askedFor(site(), 'b9')).to.have.lengthOf(9);
  });

  it('B12: a branch costs one small request in a minute; one with a slash is no version', async () => {
    const path = '/example.com/b12/@v/main.info';
    for (let time = 0; time < 3; time++)
      expect((await site().get(`/go${path}`)).status).to.equal(200);
    for (const query of ['feature/one', 'feature%2Fone', 'feature%2fone'])
      expect((await site().get(`/go/example.com/b12/@v/${query}.info`)).status).to.equal(404);
    expect(askedFor(site(), 'b12')).to.deep.equal([path]);
  });

  it('B23: those who wait for a fill wait as long as it lives', async () => {
    const path = '/example.com/b23/@v/v1.0.0.zip';
    const zip = zipFor(path, MIB);
    site().serve(path, { body: zip, delay: SLOW_MS, pause: { at: FIRST, until: SLOW_MS } });
    const answers = await crowd(site(), CROWD, path);
    for (const { body } of answers) expect(body.equals(zip)).to.equal(true);
    expect(askedFor(site(), 'b23')).to.have.lengthOf(1);
  });

  it('B25: whatever many ask for at once is fetched once: files, branches, checksums', async () => {
    const paths = [
      ...[
        '@v/list',
        '@latest',
        '@v/main.info',
        '@v/v1.0.0.info',
        '@v/v1.0.0.mod',
        '@v/v1.0.0.zip',
      ].map((file) => `/example.com/b25/${file}`),
      ...['latest', 'lookup/example.com/b25@v1.0.0', 'tile/8/0/025'].map(
        (file) => `/sumdb/${GO_SUMDB}/${file}`,
      ),
    ];
    for (const path of paths) {
      const body = path.startsWith('/sumdb/')
        ? formOf(path)
        : zipFor(path.replace(/@.*/, '@v/v1.0.0.zip'));
      site().serve(path, { delay: 200, body });
    }
    await Promise.all(paths.map(async (path) => await crowd(site(), 10, path)));
    const asked = site().origin.seen.map(({ key }) => key);
    for (const path of paths)
      expect(
        asked.filter((key) => key === path),
        path,
      ).to.have.lengthOf(1);
  });
}
