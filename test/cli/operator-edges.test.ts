import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { request } from 'undici';
import type { z } from 'zod';
import { counterValues, entryRow, journalPage, purgeResult } from '../../src/operator-schemas.ts';
import { verifyRow } from '../../src/storage-schemas.ts';
import { NodeProcess } from '../support/node-process.ts';
import { CAJE, cleanEnv, runCaje } from '../support/run-caje.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const DEMO = {
  fetchers: { demo: { type: 'slow-server' } },
  rules: [{ name: 'demo', protocol: 'http', fetch: 'demo' }],
};
const BOLD = '\u001b[1m';

describe('commands on a running node', function () {
  this.timeout(60_000);
  let node: NodeProcess;

  before(async () => {
    node = await NodeProcess.start({ config: DEMO });
    for (const path of ['/size/100', '/size/200000', '/etag']) {
      const { body } = await request(node.url + path);
      await body.dump();
    }
  });

  after(async () => await node[Symbol.asyncDispose]());

  for (const [args, schema, lines] of [
    [['ls'], entryRow, 3],
    [['verify'], verifyRow, 3],
    [['journal'], journalPage, 1],
    [['purge', 'http://nobody.test/'], purgeResult, 1],
    [['counters'], counterValues, 1],
  ] as readonly (readonly [readonly string[], z.ZodType, number])[]) {
    it(`${args[0]} --json prints what its schema says, and nothing else`, async () => {
      const { code, stdout, stderr } = await node.run(...args, '--json');
      expect([code, stderr]).to.deep.equal([0, '']);
      const values = stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown);
      expect(values).to.have.length(lines);
      for (const value of values) expect(schema.parse(value)).to.deep.equal(value);
    });
  }

  it('ls takes a limit, a prefix and a namespace', async () => {
    const keys = async (...args: string[]): Promise<number> =>
      (await node.run('ls', '--json', ...args)).stdout.split('\n').length - 1;
    expect(await keys('--limit', '2')).to.equal(2);
    expect(await keys('--prefix', `${node.url}/size/`)).to.equal(2);
    expect(await keys('--namespace', 'web')).to.equal(3);
    expect(await keys('--namespace', 'go')).to.equal(0);
  });

  it('says that a rule is not there when nothing is found under its name', async () => {
    for (const args of [
      ['ls', '--rule', 'dmo'],
      ['purge', '--rule', 'dmo'],
    ]) {
      const { code, stderr } = await node.run(...args);
      expect(code).to.equal(0);
      expect(stderr).to.include('no rule "dmo"; did you mean "demo"?');
    }
    expect((await node.run('ls', '--rule', 'demo')).stderr).to.equal('');
  });

  for (const [args, words] of [
    [['verify', '--storage', 'loca'], /no storage in use is named "loca"; did you mean "local"/],
    [['journal', '--since', 'yesterday'], /not a cursor: "yesterday"/],
    [['purge', '--prefix', ''], /expected a text that is not empty/],
    [['purge', ''], /expected a text that is not empty/],
  ] as const) {
    it(`refuses ${JSON.stringify(args)} with 2 and says why`, async () => {
      const { code, stdout, stderr } = await node.run(...args);
      expect([code, stdout]).to.deep.equal([2, '']);
      expect(stderr).to.match(words);
    });
  }

  it('ends quietly when its reader leaves', async () => {
    const child = spawn(CAJE, ['ls', '--config', node.configFile], { env: cleanEnv() });
    child.stdout.destroy();
    const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
    expect([code, stderr]).to.deep.equal([0, '']);
  });

  it('writes plain text into a pipe', async () => {
    for (const args of [['ls'], ['verify'], ['counters'], ['journal'], ['ls', '--help']]) {
      const { stdout, stderr } = await node.run(...args);
      expect(stdout + stderr).to.not.include('\u001b');
    }
  });

  it('has colours and a bar on a terminal, no colours with NO_COLOR', async function () {
    skipUnless(this, await hasScript(), 'there is no script command to make a terminal', {
      exempt: true,
    });
    expect(await onTerminal(`ls --config ${node.configFile}`)).to.include(BOLD);
    expect(await onTerminal(`ls --config ${node.configFile}`, { NO_COLOR: '1' }))
      .to.include('state')
      .and.not.include(BOLD);
    const verified = await onTerminal(`verify --config ${node.configFile}`);
    expect(verified).to.match(/100 %.*3 read, 0 bad/);
    expect(verified).to.match(/3 bodies, 19\d\.\d KiB, 0 bad\r\n$/);
    expect(verified).to.not.include('\u001b[?25l');
  });
});

describe('commands where no node runs', function () {
  this.timeout(60_000);
  let temp: TempFolder;

  beforeEach(async () => {
    temp = await tempFolder();
  });

  afterEach(async () => await temp[Symbol.asyncDispose]());

  it('purge works while the store is out of reach, verify says that it is', async () => {
    await using node = await NodeProcess.start({ config: DEMO });
    const { body } = await request(`${node.url}/size/100`);
    await body.dump();
    await node.stop();
    const far = {
      type: 's3',
      endpoint: 'http://127.0.0.1:9',
      region: 'nowhere-1',
      bucket: 'far',
      forcePathStyle: true,
      credentials: { accessKeyId: 'nobody', secretAccessKey: 'nothing' },
    };
    const file = join(temp.path, 'far.yaml');
    await writeFile(file, JSON.stringify({ ...DEMO, data: node.dataDir, storage: { local: far } }));
    const verified = await runCaje(['verify', '--config', file]);
    expect(verified.code).to.equal(1);
    expect(verified.stderr).to.match(/^caje: .+\n$/);
    const purged = await runCaje(['purge', '--all', '--config', file]);
    expect([purged.code, purged.stderr]).to.deep.equal([0, '']);
    expect(purged.stdout).to.equal('purged: 1 entry\n');
  });

  it('journal and counters work, and counters says that nothing was counted', async () => {
    await mkdir(join(temp.path, 'data'));
    const journal = await runCaje(['journal'], { cwd: temp.path });
    expect([journal.code, journal.stderr]).to.deep.equal([0, '']);
    expect(journal.stdout).to.match(/^nothing changed\n/);
    const counters = await runCaje(['counters', '--json'], { cwd: temp.path });
    expect(counters.code).to.equal(0);
    expect(counters.stderr).to.include('no node runs here');
    expect(new Set(Object.values(counterValues.parse(JSON.parse(counters.stdout))))).to.deep.equal(
      new Set([0]),
    );
  });

  it('init says when the folder is not there, and writes nothing', async () => {
    const { code, stdout, stderr } = await runCaje(['init', '--output', 'none/caje.yaml'], {
      cwd: temp.path,
    });
    expect([code, stdout]).to.deep.equal([1, '']);
    expect(stderr).to.equal('caje: the folder of none/caje.yaml is not there\n');
  });
});

async function hasScript(): Promise<boolean> {
  const child = spawn('script', ['--version'], { stdio: 'ignore' });
  return await new Promise((resolve) => {
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}

async function onTerminal(
  command: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  // A variable CI says to Node that the terminal is a log, without colours.
  const { CI: _, ...own } = cleanEnv({ TERM: 'xterm', ...env });
  const child = spawn('script', ['-qec', `${CAJE} ${command}`, '/dev/null'], {
    env: own,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return await text(child.stdout);
}
