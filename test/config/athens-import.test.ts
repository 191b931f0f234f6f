import { expect } from 'chai';
import { parse } from 'yaml';
import { builtinTypes } from '../../src/builtin-types.ts';
import type { AthensImport } from '../../src/config/athens-import.ts';
import type { Rule } from '../../src/config/config.ts';
import type { LoadedConfig } from '../../src/config/load-config.ts';
import { type Env, imported, SUMDB, SUMDB_KEY } from './athens-imported.ts';
import { TempConfig } from './temp-config.ts';

function notesOf({ notes }: AthensImport): readonly string[] {
  return notes.map(({ setting, reason }) => `${setting}: ${reason}`);
}

describe('importAthens', () => {
  let temp: TempConfig;
  beforeEach(async () => {
    temp = await TempConfig.create();
  });
  afterEach(async () => {
    await temp[Symbol.asyncDispose]();
  });

  /** The printed text as the node reads it. */
  async function loaded(yaml: string, env: Env = {}): Promise<LoadedConfig> {
    await temp.write('caje.yaml', yaml);
    return await temp.load(env, { types: builtinTypes });
  }

  async function ruleOf(env: Env, toml?: string, set: Env = {}): Promise<Rule> {
    const { config } = await loaded((await imported(env, toml)).yaml, set);
    const [rule] = config.rules;
    if (rule === undefined) throw new Error('no rule');
    return rule;
  }

  it('gives what Athens does by itself: version control, memory, port 3000', async () => {
    const athens = await imported({});
    const { config } = await loaded(athens.yaml);
    expect(notesOf(athens)).to.deep.equal([]);
    expect(config.listen.public).to.deep.equal({ host: '0.0.0.0', port: 3000 });
    expect(config.drain.graceMs).to.equal(60_000);
    expect(config.storage.get('local')?.type).to.equal('memory');
    expect([...config.fetchers.values()].map(({ type }) => type)).to.deep.equal(['go-vcs']);
    expect(parse(athens.yaml)).to.have.deep.nested.property('fetchers.git', {
      type: 'go-vcs',
      concurrent: 10,
      timeout: '600s',
    });
    expect(config.rules[0]).to.deep.include({ path: '/*', mode: 'sync', network: 'online' });
    expect(parse(athens.yaml).rules[0]).to.deep.include({
      sumdb: [{ name: SUMDB, key: SUMDB_KEY, url: `https://${SUMDB}` }],
      checkSums: 'require',
    });
  });

  it('lets the environment stand over the file, in any case of its keys', async () => {
    const toml = 'port = ":4000"\nPathPrefix = "/a"\nLogLevel = "warn"\nShutdownTimeout = 5\n';
    const { config } = await loaded((await imported({ ATHENS_PORT: '5000' }, toml)).yaml);
    expect(config.listen.public.port).to.equal(5000);
    expect(config.log.level).to.equal('warn');
    expect(config.drain.graceMs).to.equal(5000);
    expect(config.rules[0]).to.include({ path: '/a/*', strip: true });
    expect(parse((await imported({ PORT: '6000' }, toml)).yaml)).to.have.nested.property(
      'listen.public',
      '0.0.0.0:6000',
    );
    const emptied = await imported({ ATHENS_PATH_PREFIX: '' }, toml);
    expect(parse(emptied.yaml)).to.have.nested.property('rules[0].path', '/*');
  });

  it('reads GOPROXY and GOPRIVATE of its go command', async () => {
    const env = {
      ATHENS_GO_BINARY_ENV_VARS:
        'GOPROXY=https://a.example|direct; GOPRIVATE=*.corp.example,git.example/x; GOFLAGS=-x',
      ATHENS_GOGET_WORKERS: '3',
      ATHENS_STASH_TIMEOUT: '90',
      ATHENS_NETRC_PATH: '/run/netrc',
      GO_BINARY_PATH: '/opt/go',
    };
    const athens = await imported(env);
    await loaded(athens.yaml);
    expect(parse(athens.yaml).fetchers).to.deep.equal({
      modules: { type: 'upstreams', list: 'https://a.example|direct', direct: 'git' },
      git: {
        type: 'go-vcs',
        go: '/opt/go',
        concurrent: 3,
        timeout: '90s',
        credentials: [{ match: '*', netrc: { file: '/run/netrc' } }],
      },
    });
    expect(parse(athens.yaml).rules[0]).to.deep.include({
      fetch: 'modules',
      modules: [
        { match: '*.corp.example', fetch: ['git'], private: true },
        { match: 'git.example/x', fetch: ['git'], private: true },
      ],
    });
    expect(notesOf(athens).join()).to.include('GOFLAGS of it is not carried over');
  });

  it('takes the list of the go command where GOPROXY is not said', async () => {
    const { yaml } = await imported({}, 'GoBinaryEnvVars = ["GODEBUG=x"]');
    await loaded(yaml);
    expect(parse(yaml).fetchers.modules).to.include({ list: 'go-env', direct: 'git' });
    expect(yaml).to.match(/# partly: .*\n {2}modules:/);
  });

  it('fetches nothing where GOPROXY is off', async () => {
    const rule = await ruleOf({ ATHENS_GO_BINARY_ENV_VARS: 'GOPROXY=off' });
    expect(rule.network).to.equal('offline');
  });

  it('merges download modes and the filter into one list', async () => {
    const athens = await imported({
      ATHENS_DOWNLOAD_MODE: 'file:modes.hcl',
      ATHENS_FILTER_FILE: 'filter',
      ATHENS_GLOBAL_ENDPOINT: 'https://global.example',
    });
    await loaded(athens.yaml);
    const { rules, fetchers } = parse(athens.yaml);
    expect(fetchers).to.include.keys('git', 'elsewhere', 'elsewhere-2');
    expect(rules[0]).to.deep.include({ mode: 'async_redirect', fetch: ['git', 'elsewhere'] });
    const deny = 'refused by a rule of this proxy';
    expect(rules[0].modules).to.deep.equal([
      { match: 'example.com/old', versions: '<=v2.0.0', deny },
      { match: 'golang.org/x', mode: 'redirect', fetch: ['elsewhere-2'] },
      { match: 'example.com/here/*', fetch: ['git'], mode: 'sync' },
      { match: 'example.com/never/*', fetch: ['git'], mode: 'none' },
      { match: 'example.com' },
      { match: '*', deny },
    ]);
  });

  it('reads a download mode that stands in the variable itself', async () => {
    const custom = Buffer.from('mode = "none"').toString('base64');
    expect((await ruleOf({ ATHENS_DOWNLOAD_MODE: `custom:${custom}` })).mode).to.equal('none');
  });

  it('reads network mode, validator and checksum databases', async () => {
    const env = {
      ATHENS_NETWORK_MODE: 'fallback',
      ATHENS_PROXY_VALIDATOR: 'http://127.0.0.1:9/check',
      ATHENS_SUM_DBS: 'https://one.example,https://two.example:8443/ignored',
      ATHENS_GONOSUM_PATTERNS: 'git.example/*,*.corp',
    };
    const { yaml } = await imported(env);
    expect((await ruleOf(env)).network).to.equal('fallback');
    expect(parse(yaml).rules[0]).to.deep.include({
      validator: { url: 'http://127.0.0.1:9/check', onError: 'deny' },
      sumdb: [
        { name: 'one.example', url: 'https://one.example' },
        { name: 'two.example:8443', url: 'https://two.example:8443' },
      ],
      noSumdb: 'git.example/*,*.corp',
    });
  });

  it('checks sums as the go command of Athens did', async () => {
    const go = async (vars: string, more: Env = {}): Promise<AthensImport> =>
      await imported({ ATHENS_GO_BINARY_ENV_VARS: `GOPROXY=direct;${vars}`, ...more });
    const off = await go('GOSUMDB=off');
    expect(parse(off.yaml).rules[0]).to.not.have.property('checkSums');
    expect(notesOf(off)).to.deep.equal([]);
    const some = await go('GONOSUMDB=a.example', { ATHENS_GONOSUM_PATTERNS: 'b.example' });
    const rule = { noSumdb: 'b.example,a.example', checkSums: 'require' };
    expect(parse(some.yaml).rules[0]).to.deep.include(rule);
    expect(some.yaml).to.match(/# partly: .*\n +noSumdb:/);
    await loaded(some.yaml);
    const all = await go('GONOSUMDB=*');
    expect(parse(all.yaml).rules[0]).to.not.include.any.keys('checkSums', 'noSumdb');
    const other = await imported({ ATHENS_SUM_DBS: 'https://other.example' });
    expect(parse(other.yaml).rules[0]).to.not.have.property('checkSums');
    expect(notesOf(other).join()).to.match(/^ATHENS_SUM_DBS: Athens checked sums .* key/);
  });

  it('says that offline means more here', async () => {
    const athens = await imported({ ATHENS_NETWORK_MODE: 'offline' });
    expect(parse(athens.yaml).rules[0].network).to.equal('offline');
    expect(athens.yaml).to.match(/# partly: .*\n +network: offline/);
    expect(notesOf(athens).join()).to.include('ATHENS_NETWORK_MODE: Athens asked nobody');
  });

  it('keeps on disk below the root of Athens', async () => {
    const env = { ATHENS_STORAGE_TYPE: 'disk', ATHENS_DISK_STORAGE_ROOT: '/srv/athens/' };
    const { config } = await loaded((await imported(env)).yaml);
    expect(config.data).to.equal('/srv/athens/caje');
    expect(config.storage.get('local')?.type).to.equal('disk');
  });

  it('keeps in S3 and in a store that speaks its protocol, secrets by reference', async () => {
    const secrets = { AWS_ACCESS_KEY_ID: 'AKIACANARY', AWS_SECRET_ACCESS_KEY: 'canary-secret' };
    const s3 = { ATHENS_STORAGE_TYPE: 's3', AWS_REGION: 'eu-1', ATHENS_S3_BUCKET_NAME: 'mods' };
    const { yaml } = await imported({ ...s3, ...secrets, AWS_FORCE_PATH_STYLE: 'true' });
    expect(yaml).to.not.match(/canary/i);
    const { config, effective } = await loaded(yaml, secrets);
    expect(config.stashers.get('keep')?.options).to.include({ backend: 's3' });
    expect(effective).to.have.nested.property('storage.s3.credentials.accessKeyId', 'AKIACANARY');
    expect(effective).to.have.nested.property('storage.s3.forcePathStyle', true);

    const toml = `StorageType = "minio"
[Storage.Minio]
Endpoint = "127.0.0.1:9001"
Key = "canary-key"
Secret = "canary-secret"
Bucket = "mods"
`;
    const minio = await imported({}, toml);
    expect(minio.yaml).to.include('http://127.0.0.1:9001').and.not.include('canary');
    expect(notesOf(minio).join('\n'))
      .to.include('athens.toml: Storage.Minio.Secret: the secret in it is not copied')
      .and.not.include('canary');
    const set = {
      ATHENS_MINIO_ACCESS_KEY_ID: 'a',
      ATHENS_MINIO_SECRET_ACCESS_KEY: 'b',
    };
    expect((await loaded(minio.yaml, set)).config.storage.has('s3')).to.equal(true);
  });

  it('listens on this machine alone where Athens asked for a password', async () => {
    const env = { BASIC_AUTH_USER: 'canary-u', BASIC_AUTH_PASS: 'canary-p' };
    const athens = await imported(env);
    expect((await loaded(athens.yaml)).config.listen.public.host).to.equal('127.0.0.1');
    expect(notesOf(athens)).to.have.length(2);
    expect(athens.yaml + notesOf(athens).join()).to.not.include('canary');
  });

  it('prints no token, no password of an upstream and nothing to be filled in by accident', async () => {
    const env = {
      ATHENS_GITHUB_TOKEN: 'canary-token',
      ATHENS_GO_BINARY_ENV_VARS: 'GOPROXY=https://me:canary@a.example/${x},direct',
    };
    const athens = await imported(env);
    expect(athens.yaml + notesOf(athens).join()).to.not.include('canary');
    const set = { ATHENS_GITHUB_TOKEN: 't', UPSTREAM_LOGIN: 'me:secret' };
    const { effective } = await loaded(athens.yaml, set);
    expect(effective).to.have.nested.property(
      'fetchers.modules.list',
      'https://me:secret@a.example/${x},direct',
    );
  });

  it('names every setting that says nothing here, once', async () => {
    const toml = `EnablePprof = true
RobotsFile = "robots.txt"
Colour = "blue"
TLSCertFile = ""
SingleFlightType = "redis"
[SingleFlight.Redis]
Password = "canary"
[Storage.Disk]
RootPath = "/x"
[Storage.Mongo]
URL = "mongodb://canary"
DefaultDBName = "x"
`;
    const env = { ATHENS_TRACE_EXPORTER: 'otlp', ATHENS_LOG_LEVLE: 'x', AWS_REGION: 'eu-1' };
    const notes = notesOf(await imported(env, toml));
    const settings = notes.map((note) => note.replace(/: [^:]*(: [^:]*)?$/, ''));
    expect(notes.join('\n')).to.not.include('canary').and.not.include('AWS_REGION');
    for (const name of [
      'athens.toml: EnablePprof',
      'athens.toml: RobotsFile',
      'athens.toml: Colour',
      'athens.toml: SingleFlightType',
      'athens.toml: SingleFlight.Redis.Password',
      'athens.toml: [Storage.Disk]',
      'athens.toml: [Storage.Mongo]',
      'ATHENS_TRACE_EXPORTER',
      'ATHENS_LOG_LEVLE',
    ]) {
      expect(
        notes.filter((note) => note.startsWith(`${name}: `)),
        name,
      ).to.have.length(1);
    }
    expect(settings).to.have.length(9);
    expect(notes.join()).to.include('did you mean "ATHENS_LOG_LEVEL"?');
  });
});
