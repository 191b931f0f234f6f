import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { stringify } from 'yaml';
import { callControl } from '../src/http/control-client.ts';
import { type ReloadReport, reloadReport } from '../src/reload-schemas.ts';
import { eventually } from './criteria/eventually.ts';
import { HttpClient, readBytes } from './support/http-client.ts';
import { NamedOrigin } from './support/named-origin.ts';
import { NodeProcess } from './support/node-process.ts';
import { type TempFolder, tempFolder } from './support/temp-folder.ts';

const BAD = join(import.meta.dirname, 'fixtures/config/bad');

type Tree = Readonly<Record<string, unknown>>;

function tokenOf(name: string): string {
  return `a-token-that-nobody-guesses-of-${name}`;
}

describe('a configuration that is loaded again', function () {
  this.timeout(60_000);
  let one: NamedOrigin;
  let two: NamedOrigin;
  let node: NodeProcess;
  let client: HttpClient;
  let folder: TempFolder;

  /** What the node is started with. */
  function base(): Tree {
    return {
      storage: { local: { type: 'disk', path: 'blobs', keepFree: 0 } },
      fetchers: { site: { type: 'origin', url: one.url } },
      rules: [{ name: 'site', protocol: 'http', fetch: 'site', preserveHost: true }],
      cluster: { tokens: [{ name: 'n1', file: 'n1' }] },
    };
  }

  /** The same with what changes, as the file has it. */
  async function write(more: Tree): Promise<void> {
    const listen = { public: new URL(node.url).host, peer: new URL(node.peerUrl).host };
    await writeFile(node.configFile, stringify({ ...base(), listen, data: node.dataDir, ...more }));
  }

  const call = async (name: string, input?: object): Promise<unknown> =>
    await callControl(join(node.dataDir, 'control.sock'), name, input);

  async function reload(): Promise<ReloadReport> {
    return reloadReport.parse(await call('config-reload'));
  }

  async function get(path: string): Promise<string> {
    const { status, body } = await client.get(node.url + path);
    return status === 200 ? body.toString() : String(status);
  }

  const other = (): Tree => ({
    fetchers: { site: { type: 'origin', url: two.url } },
    rules: [{ name: 'site', protocol: 'http', fetch: 'site' }],
  });

  before(async () => {
    folder = await tempFolder();
    for (const name of ['n1', 'n2']) await writeFile(join(folder.path, name), tokenOf(name));
    one = await NamedOrigin.start('one');
    two = await NamedOrigin.start('two');
    client = new HttpClient();
    const listen = { public: '127.0.0.1:0', peer: '127.0.0.1:0' };
    node = await NodeProcess.start({ config: { ...base(), listen }, folder: folder.path });
  });

  after(async () => {
    await client[Symbol.asyncDispose]();
    await node[Symbol.asyncDispose]();
    await one[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  afterEach(async () => {
    await write({});
    await reload();
  });

  // Each of the others is loaded by itself in test/config.
  const bad = readdirSync(BAD).flatMap((file, at) => (at % 5 === 0 ? [join(BAD, file)] : []));

  it(`F-111: ${bad.length} bad ones are refused by key, and each leaves the old settings`, async () => {
    const before = (await node.counters())['config_reloads_total{refused}'] ?? 0;
    for (const [number, file] of bad.entries()) {
      const text = readFileSync(file, 'utf8');
      await writeFile(node.configFile, text);
      const refused = await reload().then(
        () => undefined,
        (error: unknown) => error as Error,
      );
      expect(refused?.message, file).to.include(/^# expect: \d+: ([^:]*):/m.exec(text)?.[1]);
      expect(await get(`/bad/${number}`), file).to.equal('one kept\n');
    }
    await write({});
    const counters = await node.counters();
    expect(counters['config_reloads_total{refused}']).to.equal(before + bad.length);
    const lines = (): number =>
      node.log.filter(({ msg }) => msg.includes('the old one stays')).length;
    await eventually('the last line', () => lines() >= before + bad.length);
    expect(lines()).to.equal(before + bad.length);
  });

  it('SIGHUP brings new rules into force, and the log says what changed and what waits for a restart', async () => {
    await write({
      ...other(),
      listen: { public: '127.0.0.1:1', peer: new URL(node.peerUrl).host },
      storage: { local: { type: 'disk', path: 'blobs', keepFree: 0, maxBytes: '1GiB' } },
      trustedProxies: ['127.0.0.1'],
    });
    process.kill(node.pid, 'SIGHUP');
    const line = await node.logged(
      ({ msg, restart: keys }) => msg.includes('loaded again') && String(keys).includes('listen'),
    );
    const changed = ['fetchers.site.url', 'rules.site.preserveHost', 'trustedProxies'];
    const restart = ['listen.public', 'storage.local.maxBytes'];
    expect(line).to.deep.include({ changed, restart });
    expect(await node.logged(({ msg }) => msg.includes('keep their old values'))).to.deep.include({
      keys: restart,
    });
    expect(await get('/hup')).to.equal('two own\n');
    expect((await node.counters())['config_reloads_total{done}']).to.be.at.least(1);
  });

  it('says at the second time too what waits for a restart, and nothing of what is in force', async () => {
    await write({ ...other(), gc: { period: '3h' } });
    await reload();
    const { changed, restart } = await reload();
    expect(changed).to.deep.equal([]);
    expect(restart).to.deep.equal(['gc.period']);
  });

  it('what began under the old rules ends under them; who asks for the same goes by the new ones', async () => {
    const old = await client.stream(`${node.url}/slow`);
    const first = await readBytes(old.body, 1);
    await write(other());
    await reload();
    const answer = await client.stream(`${node.url}/slow`);
    expect((await readBytes(answer.body, 1)).toString()).to.match(/^two own/);
    two.go();
    answer.body.resume();
    // Longer than an edition without users stays open.
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    one.go();
    const rest = Buffer.concat(await Array.fromAsync(old.body as AsyncIterable<Buffer>));
    expect(Buffer.concat([first, rest]).toString()).to.equal('one kept\nend\n');
  });

  it('a fetch under a rule that stays as it was is still shared', async () => {
    const path = '/slow/shared';
    const old = await client.stream(node.url + path);
    await readBytes(old.body, 1);
    await write({ trustedProxies: ['10.0.0.1'] });
    await reload();
    const shared = await client.stream(node.url + path);
    await readBytes(shared.body, 1);
    one.go();
    old.body.resume();
    await Array.fromAsync(shared.body);
    expect(one.asked.filter((asked) => asked === path)).to.have.lengthOf(1);
  });

  it('an answer of the fast path goes with its rule', async () => {
    await get('/hot');
    // Only what is on record is repeated there.
    await eventually('the row of /hot', async () => {
      return JSON.stringify(await call('ls', {})).includes('/hot');
    });
    for (let hits = 0; hits < 3; hits++) expect(await get('/hot')).to.equal('one kept\n');
    await write({ rules: [{ name: 'site', path: '/cold/*', protocol: 'http', fetch: 'site' }] });
    expect((await reload()).changed).to.deep.equal(['rules.site.path', 'rules.site.preserveHost']);
    expect(await get('/hot')).to.equal('404');
  });

  it('requests during 10 reloads go by the old rules or the new ones, never by some of each', async () => {
    let isOver = false;
    const seen = new Set<string>();
    const clients = Array.from({ length: 4 }, async (_, at) => {
      for (let number = 0; !isOver; number++) seen.add(await get(`/many/${at}/${number}`));
    });
    for (let turn = 0; turn < 10; turn++) {
      await write(turn % 2 === 0 ? other() : {});
      await reload();
    }
    isOver = true;
    await Promise.all(clients);
    expect([...seen].sort()).to.deep.equal(['one kept\n', 'two own\n']);
  });

  it('refuses rules that need what only a restart brings, naming it', async () => {
    const storage = { far: { type: 'disk', path: 'far', keepFree: 0 } };
    await write({
      storage: { ...(base()['storage'] as Tree), ...storage },
      stashers: { keep: { type: 'store', backend: 'far' } },
    });
    const refused = await reload().then(
      () => undefined,
      (error: unknown) => error as Error,
    );
    expect(refused?.message).to.match(/backend far.*only a restart changes storage\.far/);
    expect(await get('/refused')).to.equal('one kept\n');
  });

  it('sets how much the log says, also of parts that were made before', async () => {
    const requests = (): number => node.log.filter(({ msg }) => msg === 'request').length;
    await write({ log: { level: 'error' } });
    await reload();
    const before = requests();
    await get('/quiet');
    await write({});
    await reload();
    await get('/loud');
    await node.logged(({ msg, url }) => msg === 'request' && url === '/loud');
    expect(requests()).to.equal(before + 1);
  });

  it('a populate that began under the old rules ends under them', async () => {
    const from = (url: string): Tree => ({
      fetchers: { modules: { type: 'upstreams', list: url } },
      rules: [{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' }],
    });
    await write(from(one.url));
    await reload();
    const modules = ['slow.test/a', 'slow.test/b'].map((module) => ({
      ...{ module, version: 'v1.0.0', files: ['mod'] },
    }));
    const populated = call('populate', { modules, concurrency: 1, sumdb: false });
    await eventually('the first', () => one.asked.some((path) => path.startsWith('/slow.test/a')));
    await write(from(two.url));
    expect((await reload()).changed).to.deep.equal(['fetchers.modules.list']);
    one.go();
    await eventually('the second', () => one.asked.some((path) => path.startsWith('/slow.test/b')));
    one.go();
    expect(await populated).to.have.lengthOf(2);
    expect(two.asked.filter((path) => path.startsWith('/slow.test'))).to.deep.equal([]);
  });

  it('takes tokens of peers and gives them up', async () => {
    const asPeer = async (name: string): Promise<number> => {
      const headers = { authorization: `Bearer ${tokenOf(name)}` };
      return (await client.get(`${node.peerUrl}/_caje/peer/v1/node`, { headers })).status;
    };
    expect([await asPeer('n1'), await asPeer('n2')]).to.deep.equal([200, 401]);
    await write({ cluster: { tokens: [{ name: 'n2', file: 'n2' }] } });
    expect((await reload()).changed).to.deep.equal(['cluster.tokens']);
    expect([await asPeer('n1'), await asPeer('n2')]).to.deep.equal([401, 200]);
    await write({ cluster: { tokens: [{ name: 'n3', file: 'nowhere' }] } });
    expect(String(await reload().catch((error: unknown) => error))).to.include('nowhere');
    expect(await asPeer('n2')).to.equal(200);
  });

  it('caje config reload prints the same, as lines or as JSON, and ends with 2 for a bad file', async () => {
    await write({ trustedProxies: ['10.0.0.1'], gc: { period: '3h' } });
    const lines = await node.run('config', 'reload');
    expect(lines).to.include({ code: 0, stderr: '' });
    expect(lines.stdout).to.equal(
      `${node.configFile}: loaded again, 1 rule\n  changed: trustedProxies\n  needs a restart: gc.period\n`,
    );
    const json = await node.run('config', 'reload', '--json');
    expect(JSON.parse(json.stdout)).to.deep.equal({
      ...{ source: node.configFile, changed: [], restart: ['gc.period'], rules: 1, off: [] },
    });
    await write({ rules: [{ name: 'site', protocol: 'http', fetch: 'nowhere' }] });
    const bad = await node.run('config', 'reload');
    expect(bad.code).to.equal(2);
    expect(bad.stderr).to.include('rules[0].fetch');
  });
});
