import { expect } from 'chai';
import { formOf } from '../support/go-sumdb-double.ts';
import { askedFor, crowd, GO_SUMDB, startGoSite, zipFor } from './go-site.ts';
import { type Site, xCache } from './site.ts';

const PLAIN = 'text/plain; charset=utf-8';
const FOREVER = 'public, max-age=31536000, immutable';

/** What others answer, and what was wrong with it: B13, B14, B15 and B19. */
export function goAnswerDefects(site: () => Site): void {
  it('B13: files have their types, tags, ranges and lifetimes; errors have words', async () => {
    const types: Readonly<Record<string, string>> = {
      '@v/list': PLAIN,
      '@latest': 'application/json',
      '@v/v1.0.0.info': 'application/json',
      '@v/v1.0.0.mod': PLAIN,
      '@v/v1.0.0.zip': 'application/zip',
    };
    for (const [file, type] of Object.entries(types)) {
      const path = `/example.com/b13/${file}`;
      const text = file.endsWith('.info') ? '{"Version":"v1.0.0"}' : `this is ${file}\n`;
      const body = file.endsWith('zip') ? zipFor(path) : Buffer.from(text);
      site().serve(path, { body, omit: ['Content-Type', 'Cache-Control'], etag: false });
      const { headers } = await site().keep(`/go${path}`, {}, path.slice(1));
      expect(headers.get('Content-Type'), file).to.equal(type);
      expect(headers.get('Content-Length'), file).to.equal(String(body.length));
      const control = headers.get('Cache-Control');
      if (/v1/.test(file)) expect(control, file).to.equal(FOREVER);
      else expect(control, file).to.match(/^public, max-age=(?:60|5\d)$/);

      const etag = (await site().get(`/go${path}`)).headers.get('ETag') ?? '';
      expect(etag).to.match(/^"[0-9a-f]{64}"$/);
      const same = await site().get(`/go${path}`, { headers: { 'If-None-Match': etag } });
      expect([same.status, same.body.length]).to.deep.equal([304, 0]);
      const part = await site().get(`/go${path}`, { headers: { Range: 'bytes=5-6' } });
      expect([part.status, part.body]).to.deep.equal([206, body.subarray(5, 7)]);
      const head = await site().get(`/go${path}`, { method: 'HEAD' });
      expect(head.headers.get('Content-Length')).to.equal(String(body.length));
    }
    site().serve('/example.com/b13/@v/v1.1.0.zip', { status: 500 });
    for (const [path, status] of [
      ['/example.com/b13/@v/v1.1.0.zip', 502],
      ['/example.com/b13/nothing', 404],
      [`/sumdb/other.example.org/supported`, 404],
    ] as const) {
      const answer = await site().get(`/go${path}`);
      expect([answer.status, answer.headers.get('Content-Type')]).to.deep.equal([status, PLAIN]);
      const lines = answer.body.toString().split('\n');
      // The go command shows 8 lines of 648 bytes in all.
      expect(answer.body).to.have.length.within(10, 648);
      expect(lines).to.have.length.within(1, 8);
    }
  });

  it('B14: records and tiles of checksum databases are kept, shared by all who ask', async () => {
    const files = ['lookup/example.com/!b14@v1.0.0', 'tile/8/0/x014/014', 'tile/8/data/014.p/3'];
    for (const file of files) {
      const path = `/sumdb/${GO_SUMDB}/${file}`;
      site().serve(path, { body: formOf(path) });
      await crowd(site(), 10, path);
      const kept = await site().keep(`/go${path}`, {}, path.slice(1));
      expect(kept.headers.get('Cache-Control')).to.equal(FOREVER);
      expect(xCache(await site().get(`/go${path}`))).to.equal('HIT');
      expect(askedFor(site(), file)).to.have.lengthOf(1);
    }
  });

  it('B15: what a rule cuts off is cut off once; the node’s own paths stay where they are', async () => {
    await using own = await startGoSite({ path: '/deep/prefix/*' });
    const file = '/example.com/b15/@v/v1.0.0.mod';
    expect((await own.get(`/deep/prefix${file}`)).status).to.equal(200);
    expect((await own.get(`/deep/prefix/sumdb/${GO_SUMDB}/supported`)).status).to.equal(200);
    expect(askedFor(own, 'b15')).to.deep.equal([file]);
    for (const path of ['healthz', 'readyz', 'version'])
      expect((await own.get(`/_caje/${path}`)).status, path).to.equal(200);
    expect((await own.get('/deep/prefix/healthz')).status).to.equal(404);
  });

  it('B19: an upstream sees its own credentials and never a client’s', async () => {
    await using own = await startGoSite(
      { fetch: 'own' },
      {
        fetchers: (url) => ({
          own: { type: 'upstreams', list: url.replace('//', '//reader:secret@') },
        }),
      },
    );
    const file = '/example.com/b19/@v/v1.0.0.mod';
    const headers = { Authorization: 'Bearer of-the-client', Cookie: 'a=1' };
    const { status } = await own.get(`/go${file}`, { headers });
    expect(status).to.equal(200);
    const [seen] = own.origin.seen;
    const said = seen?.rawHeaders.join('\n') ?? '';
    expect(said).to.include(`Basic ${Buffer.from('reader:secret').toString('base64')}`);
    expect(said).to.not.include('of-the-client').and.to.not.include('a=1');
    const told = JSON.stringify(own.node.log);
    expect(told).to.not.include('secret').and.to.not.include('of-the-client');
  });
}
