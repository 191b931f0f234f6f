import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { GoRegistry } from '../support/go-registry.ts';
import { NodeProcess } from '../support/node-process.ts';
import { type RunResult, runCaje } from '../support/run-caje.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

describe('caje config import-athens', function () {
  this.timeout(60_000);
  let temp: TempFolder;
  let registry: GoRegistry;

  before(async () => {
    temp = await tempFolder();
    registry = await GoRegistry.start();
    registry.release('example.com/one', 'v1.0.0');
    registry.release('example.com/one', 'v0.9.0');
    registry.release('example.com/two', 'v1.0.0');
    await writeFile(
      join(temp.path, 'athens.toml'),
      `Port = "127.0.0.1:0"
PathPrefix = "/mods"
StorageType = "disk"
StatsExporter = "prometheus"
GoBinaryEnvVars = ["GOPROXY=${registry.url}", "GOSUMDB=off"]
FilterFile = "${join(temp.path, 'filter')}"
[Storage.Disk]
RootPath = "${join(temp.path, 'root')}"
`,
    );
    await writeFile(join(temp.path, 'filter'), '-\n+ example.com\n- example.com/one v0.9\n');
    const modes = `mode = "sync"
downloadURL = "http://127.0.0.1:9/x"
download "example.com/one/there" { mode = "redirect" }
`;
    await writeFile(join(temp.path, 'modes'), modes);
  });

  after(async () => {
    await registry[Symbol.asyncDispose]();
    await temp[Symbol.asyncDispose]();
  });

  async function run(env: Readonly<Record<string, string>>, ...args: string[]): Promise<RunResult> {
    return await runCaje(['config', 'import-athens', ...args], { cwd: temp.path, env });
  }

  it('prints a configuration that a node serves by, and says what is left behind', async () => {
    const env = { ATHENS_DOWNLOAD_MODE: `file:${join(temp.path, 'modes')}` };
    const { code, stdout, stderr } = await run(env, '--file', 'athens.toml');
    expect(code, stderr).to.equal(0);
    expect(stderr).to.match(/^caje: athens\.toml: StatsExporter: not carried over: .+$/m);
    await using node = await NodeProcess.start({
      config: { ...parse(stdout), data: 'data' } as Record<string, unknown>,
    });
    const get = async (path: string): Promise<Response> =>
      await fetch(`${node.url}/mods/${path}`, { redirect: 'manual' });
    const kept = await get('example.com/one/@v/v1.0.0.mod');
    expect([kept.status, await kept.text()]).to.deep.equal([200, 'module example.com/one\n']);
    expect((await get('example.com/one/@v/list')).status).to.equal(200);
    const denied = await get('example.com/one/@v/v0.9.0.info');
    expect([denied.status, await denied.text()].join()).to.match(/^403,.*refused by a rule/);
    expect((await get('other.example/two/@v/v1.0.0.info')).status).to.equal(403);
    const redirect = await get('example.com/one/there/@v/v1.0.0.mod');
    expect(redirect.status).to.equal(307);
    expect(redirect.headers.get('location')).to.equal(
      'http://127.0.0.1:9/x/example.com/one/there/@v/v1.0.0.mod',
    );
  });

  it('prints what a node starts with for each kind of setting', async () => {
    const cases: readonly Readonly<Record<string, string>>[] = [
      {},
      {
        ATHENS_DOWNLOAD_MODE: 'async_redirect',
        ATHENS_DOWNLOAD_URL: registry.url,
        ATHENS_NETWORK_MODE: 'fallback',
        ATHENS_PROXY_VALIDATOR: registry.url,
        ATHENS_GO_BINARY_ENV_VARS: `GOPROXY=${registry.url},direct;GOPRIVATE=*.corp.example`,
        ATHENS_GONOSUM_PATTERNS: '*.corp.example',
      },
    ];
    for (const env of cases) {
      const { stdout } = await run({ ATHENS_PORT: '127.0.0.1:0', ...env });
      await using node = await NodeProcess.start({
        config: parse(stdout) as Record<string, unknown>,
      });
      const answer = await fetch(`${node.url}/example.com/one/@v/V.info`);
      expect(answer.status, stdout).to.be.within(400, 404);
    }
  });

  it('names what is wrong, with exit code 2', async () => {
    const { code, stdout, stderr } = await run({ ATHENS_PORT: 'tcp://10.0.0.1:3000' });
    expect([code, stdout]).to.deep.equal([2, '']);
    expect(stderr).to.match(/^ATHENS_PORT: expected a port such as 3000 or :3000, found "tcp:/);
    const gone = await run({}, '--file', 'nowhere.toml');
    expect(gone.code).to.equal(2);
    expect(gone.stderr).to.equal('nowhere.toml: expected a file that can be read, found ENOENT\n');
  });
});
