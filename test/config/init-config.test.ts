import { expect } from 'chai';
import { initConfig } from '../../src/config/init-config.ts';
import { TempConfig } from './temp-config.ts';

const GO_ENV = { GOPROXY: 'http://proxy.example|direct', GOSUMDB: 'sum.example' };

describe('initConfig', () => {
  let temp: TempConfig;
  beforeEach(async () => {
    temp = await TempConfig.create();
  });
  afterEach(async () => {
    await temp[Symbol.asyncDispose]();
  });

  const cases: Record<string, Record<string, string> | undefined> = {
    'upstreams are named': GO_ENV,
    'there is no go command': undefined,
    'the go command uses no proxy': { GOPROXY: 'off', GOSUMDB: 'off' },
    'the go command asks this node already': { GOPROXY: 'http://127.0.0.1:8080/go' },
    'a setting holds line breaks': { GOPROXY: 'http://a\nrules: []', GOSUMDB: 'x\ndata: 1' },
  };
  for (const [when, go] of Object.entries(cases)) {
    it(`writes a file that loads when ${when}`, async () => {
      const { yaml } = await initConfig({ env: {}, runGoEnv: async () => go });
      await temp.write('caje.yaml', yaml);
      const { config } = await temp.load();
      expect(config.rules.map((rule) => rule.name)).to.deep.equal(['go', 'site']);
      expect(config.fetchers.get('modules')?.options).to.deep.equal({ list: 'go-env' });
    });
  }

  it('says what the clients use now, without passwords', async () => {
    const go = { ...GO_ENV, GOPROXY: 'https://me:canary@proxy.example,direct' };
    const { yaml } = await initConfig({
      env: { HTTPS_PROXY: 'http://me:canary@gate.example:3128' },
      runGoEnv: async () => go,
    });
    expect(yaml).to.include('list: "https://***@proxy.example,direct"');
    expect(yaml)
      .to.include('(sum.example)')
      .and.include('HTTPS_PROXY=http://***@gate.example:3128');
    expect(yaml).to.not.include('canary');
  });

  it('warns of a list that is this node itself', async () => {
    const { yaml } = await initConfig({
      env: {},
      listen: '127.0.0.1:9999',
      runGoEnv: async () => ({ GOPROXY: 'http://127.0.0.1:9999/go' }),
    });
    expect(yaml).to.include('cannot be its own upstream').and.include('public: "127.0.0.1:9999"');
  });

  it('gives the line that points each client at the node', async () => {
    const { hints } = await initConfig({ env: {}, runGoEnv: async () => GO_ENV });
    expect(hints.map((hint) => hint.command)).to.deep.equal([
      'GOPROXY=http://127.0.0.1:8080/go go mod download',
      'go env -w GOPROXY=http://127.0.0.1:8080/go',
      'curl -i http://127.0.0.1:8080/fast',
    ]);
  });
});
