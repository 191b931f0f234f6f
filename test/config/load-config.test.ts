import { join } from 'node:path';
import { expect } from 'chai';
import { z } from 'zod';
import { componentType } from '../../src/component.ts';
import { TempConfig } from './temp-config.ts';

const SITE = `fetchers: { site: { type: origin, url: http://127.0.0.1:3000 } }
rules: [{ name: site, protocol: http, fetch: site }]
`;

describe('loadConfig', () => {
  let temp: TempConfig;
  beforeEach(async () => {
    temp = await TempConfig.create();
  });
  afterEach(async () => {
    await temp[Symbol.asyncDispose]();
  });

  it('takes --config before CAJE_CONFIG before caje.yaml before the built-in default', async () => {
    const named = async (env: Record<string, string>, file?: string): Promise<string> =>
      (await temp.load(env, { file })).config.source;
    expect(await named({})).to.equal('built-in default');
    await temp.write('caje.yaml', SITE);
    expect(await named({})).to.equal('caje.yaml');
    const path = await temp.write('env.yaml', SITE);
    expect(await named({ CAJE_CONFIG: path })).to.equal(path);
    await temp.write('flag.yaml', SITE);
    expect(await named({ CAJE_CONFIG: path }, 'flag.yaml')).to.equal('flag.yaml');
  });

  it('names a file that was asked for and cannot be read', async () => {
    expect(await temp.refusal({}, { file: 'none.yaml' })).to.equal(
      'none.yaml: expected a file that can be read, found ENOENT',
    );
    expect(await temp.refusal({ CAJE_CONFIG: temp.folder })).to.include('found EISDIR');
  });

  it('serves Go modules and a demo site without a file', async () => {
    const { config } = await temp.load();
    expect(
      config.rules.map(({ name, path, strip, protocol }) => [name, path, strip, protocol]),
    ).to.deep.equal([
      ['go', '/go/*', true, 'go'],
      ['demo', '/*', false, 'http'],
    ]);
    expect(config.fetchers.get('modules')).to.deep.equal({
      name: 'modules',
      type: 'upstreams',
      options: { list: 'go-env' },
    });
    expect(config.data).to.equal(join(temp.folder, 'data'));
    expect(config.manifest.path).to.equal('manifest.db');
  });

  it('adds the default backend and stashers where a file defines others', async () => {
    await temp.write(
      'caje.yaml',
      `storage: { far: { type: s3, bucket: caje } }\nstashers: { keep: { type: store, backend: far } }\n${SITE}`,
    );
    const { config } = await temp.load();
    expect([...config.storage.keys()].sort()).to.deep.equal(['far', 'local']);
    expect(config.stashers.get('keep')?.options).to.deep.equal({ backend: 'far' });
    expect(config.stashers.get('pass')?.type).to.equal('none');
  });

  it('gives sizes in bytes, durations in milliseconds and addresses in parts', async () => {
    await temp.write(
      'caje.yaml',
      `listen: { public: "[::1]:0" }\nspool: { maxBytes: 1MiB }\ndrain: { grace: 2m }\n${SITE}`,
    );
    const { config } = await temp.load();
    expect(config.listen.public).to.deep.equal({ host: '::1', port: 0 });
    expect(config.spool.maxBytes).to.equal(1_048_576);
    expect(config.drain).to.deep.equal({ notReadyMs: 0, graceMs: 120_000 });
  });

  it('fills in variables, also where a number or a switch is wanted', async () => {
    await temp.write(
      'caje.yaml',
      `data: "./\${WHERE}-$\${x}"\nfills: { concurrent: "\${COUNT}" }\nlog: { access: "\${ON}" }\n${SITE}`,
    );
    const { config } = await temp.load({ WHERE: 'here', COUNT: '3', ON: 'false' });
    expect(config.data).to.equal(join(temp.folder, 'here-${x}'));
    expect(config.fills.concurrent).to.equal(3);
    expect(config.log.access).to.equal(false);
  });

  it('does not show what came from the environment when it is wrong', async () => {
    await temp.write('caje.yaml', `spool: { maxBytes: "\${HIDDEN}" }\n${SITE}`);
    const text = await temp.refusal({ HIDDEN: 'canary' });
    expect(text).to.include('found the value of ${HIDDEN}').and.not.include('canary');
  });

  it('knows the options of a type that a plug-in brings', async () => {
    await temp.write(
      'caje.yaml',
      `plugins: [./mine.ts]\nfetchers: { site: { type: mine, colour: red } }\nrules: [{ name: site, protocol: http, fetch: site }]\n`,
    );
    const asked: string[] = [];
    const type = componentType({
      kind: 'fetcher',
      type: 'mine',
      options: z.strictObject({ colour: z.enum(['red', 'blue']) }),
      create: (options) => options,
    });
    const loadPlugins = async (paths: readonly string[]): Promise<[typeof type]> => {
      asked.push(...paths);
      return [type];
    };
    const { config } = await temp.load({}, { loadPlugins });
    expect(asked).to.deep.equal([join(temp.folder, 'mine.ts')]);
    expect(config.fetchers.get('site')?.options).to.deep.equal({ colour: 'red' });
    const text = await temp.refusal({ CAJE_FETCHERS__SITE__COLOUR: 'green' }, { loadPlugins });
    expect(text).to.include('fetchers.site.colour: expected "red" or "blue", found "green"');
  });

  it('refuses a plug-in that brings a type which is there already, or cannot be imported', async () => {
    await temp.write('caje.yaml', `plugins: [./a.ts]\n${SITE}`);
    const type = componentType({
      kind: 'fetcher',
      type: 'origin',
      options: z.strictObject({}),
      create: (options) => options,
    });
    expect(await temp.refusal({}, { loadPlugins: async () => [type] })).to.include(
      'caje.yaml:1: plugins[0]: expected a module that exports a plugin, found the fetcher type "origin", which is there already',
    );
    const broken = async (): Promise<never> => {
      throw new Error('no export named plugin\nat line 1');
    };
    expect(await temp.refusal({}, { loadPlugins: broken })).to.include(
      'found "./a.ts" (no export named plugin)',
    );
  });

  it('refuses a chain of aliases that would grow without end', async () => {
    const levels = Array.from(
      { length: 9 },
      (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(', ')}]`,
    );
    await temp.write('caje.yaml', `a0: &a0 [x, x]\n${levels.join('\n')}\n${SITE}`);
    expect(await temp.refusal()).to.include('expected at most 50000 values, 50 deep, found more');
  });
});
