import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { type RunResult, runCaje } from '../support/run-caje.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

describe('caje, as a person types it', function () {
  this.timeout(60_000);
  let temp: TempFolder;

  beforeEach(async () => {
    temp = await tempFolder();
  });

  afterEach(async () => {
    await temp[Symbol.asyncDispose]();
  });

  async function caje(...args: string[]): Promise<RunResult> {
    return await runCaje(args, { cwd: temp.path });
  }

  async function config(yaml: string): Promise<string> {
    const path = join(temp.path, 'caje.yaml');
    await writeFile(path, yaml);
    return path;
  }

  it('prints its version and explains itself', async () => {
    const version = await caje('--version');
    expect(version).to.include({ code: 0 });
    expect(version.stdout).to.match(/^\d+\.\d+\.\d+\n$/);
    const help = await caje('--help');
    expect(help).to.include({ code: 0 });
    for (const command of [
      'serve',
      'config',
      'init',
      'ls',
      'journal',
      'purge',
      'verify',
      'counters',
      'slow-server',
    ])
      expect(help.stdout).to.include(command);
  });

  for (const [args, suggestion] of [
    [['srve'], 'serve'],
    [['config', 'chek'], 'check'],
    [['purge', '--prefx', 'x'], '--prefix'],
  ] as const) {
    it(`suggests ${suggestion} for ${args.join(' ')}, with exit code 2`, async () => {
      const result = await caje(...args);
      expect(result.code).to.equal(2);
      expect(result.stderr).to.include(`Did you mean ${suggestion}?`);
    });
  }

  for (const args of [
    ['purge'],
    ['purge', 'a', '--all'],
    ['purge', '--rule', 'a', '--tag', 'b'],
    ['ls', '--limit', 'none'],
    ['slow-server', '--port', '70000'],
    ['serve', 'extra'],
  ]) {
    it(`refuses ${args.join(' ')} with exit code 2 and no stack`, async () => {
      const result = await caje(...args);
      expect(result.code).to.equal(2);
      expect(result.stderr).to.match(/expected|too many arguments/i);
      expect(result.stderr).to.not.include('    at ');
    });
  }

  it('C1: names file, line and key of what is wrong in a configuration', async () => {
    await config('listen:\n  public: 127.0.0.1:0\nstorag: {}\nrules: []\n');
    for (const args of [['config', 'check'], ['serve'], ['ls']]) {
      const result = await caje(...args);
      expect(result.code, args.join(' ')).to.equal(2);
      expect(result.stderr).to.match(/^caje\.yaml:3: storag/m);
      expect(result.stderr).to.not.include('    at ');
    }
  });

  it('C1: prints what is in force, with overrides, secrets masked', async () => {
    await config(
      `fetchers:
  site: { type: origin, url: "http://127.0.0.1:1", auth: { bearer: do-not-show } }
rules: [{ name: site, protocol: http, fetch: site }]
`,
    );
    const result = await runCaje(['config', 'print'], {
      cwd: temp.path,
      env: { CAJE_LISTEN__PUBLIC: '127.0.0.1:4321' },
    });
    expect(result.code).to.equal(0);
    expect(result.stdout).to.not.include('do-not-show');
    expect(parse(result.stdout)).to.have.nested.property('listen.public', '127.0.0.1:4321');
  });

  it('prints every default and the schema for editors', async () => {
    const defaults = await caje('config', 'print', '--defaults');
    expect(defaults.code).to.equal(0);
    expect(defaults.stdout).to.match(/^listen\.public\s+127\.0\.0\.1:8080$/m);
    const schema = await caje('config', 'schema');
    expect(schema.code).to.equal(0);
    expect(JSON.parse(schema.stdout)).to.have.property('$schema');
  });

  it('writes a first configuration that is fine, and overwrites none', async () => {
    const first = await caje('init');
    expect(first.code, first.stderr).to.equal(0);
    expect(first.stdout).to.include('GOPROXY=');
    expect((await caje('config', 'check')).code).to.equal(0);
    await writeFile(join(temp.path, 'caje.yaml'), 'mine: true\n');
    const second = await caje('init');
    expect(second.code).to.equal(1);
    expect(second.stderr).to.include('--force');
    expect(await readFile(join(temp.path, 'caje.yaml'), 'utf8')).to.equal('mine: true\n');
    expect((await caje('init', '--force')).code).to.equal(0);
    expect((await caje('config', 'check')).code).to.equal(0);
  });

  it('F-111: says which port is taken', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    await config(
      `listen: { public: "127.0.0.1:${port}" }\nfetchers: { a: { type: file, path: . } }\nrules: [{ name: a, protocol: http, fetch: a }]\n`,
    );
    const result = await caje('serve');
    server.close();
    expect(result.code).to.equal(1);
    expect(result.stderr).to.include(String(port));
    expect(result.stderr).to.not.include('    at ');
  });

  it('F-111: says that the data folder cannot be used', async () => {
    await writeFile(join(temp.path, 'file'), '');
    await config(
      'data: ./file/data\nlisten: { public: "127.0.0.1:0" }\nfetchers: { a: { type: file, path: . } }\nrules: [{ name: a, protocol: http, fetch: a }]\n',
    );
    const result = await caje('serve');
    expect(result.code).to.equal(1);
    expect(result.stderr).to.match(/the data folder .*file\/data cannot be used/);
    expect(result.stderr).to.not.include('    at ');
  });

  it('says that there is nothing to look at where no node ever ran', async () => {
    await config(
      'fetchers: { a: { type: file, path: . } }\nrules: [{ name: a, protocol: http, fetch: a }]\n',
    );
    const result = await caje('ls');
    expect(result.code).to.equal(1);
    expect(result.stderr).to.include('no data folder');
    await mkdir(join(temp.path, 'data'));
    expect((await caje('ls')).stdout).to.include('nothing is kept');
  });
});
