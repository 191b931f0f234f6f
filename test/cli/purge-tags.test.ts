import { expect } from 'chai';
import { HttpClient } from '../support/http-client.ts';
import { NodeProcess } from '../support/node-process.ts';
import { OracleOrigin } from '../support/oracle-origin.ts';

describe('caje purge --tag', function () {
  this.timeout(90_000);

  it('takes what has one of the tags, and says how many each took', async () => {
    await using client = new HttpClient();
    await using origin = await OracleOrigin.start();
    await using node = await NodeProcess.start({
      config: {
        fetchers: { site: { type: 'origin', url: origin.url } },
        rules: [{ name: 'site', protocol: 'http', fetch: 'site', tags: 'strip' }],
      },
    });
    const tagged = ['/a?header=Surrogate-Key:x%20y', '/b?header=Cache-Tag:y', '/c?header=X:y'];
    const ask = async (path: string): Promise<string | undefined> => {
      const { status, headers, body } = await client.stream(node.url + path);
      for await (const _ of body);
      expect([status, headers.has('surrogate-key'), headers.has('cache-tag')]).to.deep.equal([
        ...[200, false, false],
      ]);
      return headers.get('x-cache');
    };
    const all = async () => [
      await ask(tagged[0] ?? ''),
      await ask(tagged[1] ?? ''),
      await ask(tagged[2] ?? ''),
    ];
    expect(await all()).to.deep.equal(['MISS', 'MISS', 'MISS']);
    expect(await all()).to.deep.equal(['HIT', 'HIT', 'HIT']);
    const hard = await node.run('purge', '--tag', 'x', '--tag', 'y', '--tag', 'z', '--json');
    expect(JSON.parse(hard.stdout)).to.deep.include({ entries: 2, tags: { x: 1, y: 1, z: 0 } });
    expect(await all()).to.deep.equal(['MISS', 'MISS', 'HIT']);
    const soft = await node.run('purge', '--tag', 'y', '--soft');
    expect(soft.stdout).to.equal('made stale: 2 entries\n');
    expect(await all()).to.deep.equal(['REVALIDATED', 'REVALIDATED', 'HIT']);
  });
});
