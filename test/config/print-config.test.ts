import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { configJsonSchema } from '../../src/config/config-schema.ts';
import type { JsonSchema, PathPart } from '../../src/config/json-schema.ts';
import { schemasAt, valueAt } from '../../src/config/json-schema.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { printConfig, printDefaults } from '../../src/config/print-config.ts';
import { configTypes } from '../fixtures/config-types.ts';
import { TempConfig } from './temp-config.ts';

const GOOD = join(import.meta.dirname, '../fixtures/config/good');

describe('printConfig', () => {
  let temp: TempConfig;
  beforeEach(async () => {
    temp = await TempConfig.create();
  });
  afterEach(async () => {
    await temp[Symbol.asyncDispose]();
  });

  it('prints every key with its value or default, so that it loads to the same configuration', async () => {
    await temp.write(
      'caje.yaml',
      'spool: { maxBytes: 1GiB }\nfetchers: { site: { type: origin, url: http://127.0.0.1:3000 } }\nrules: [{ name: site, protocol: http, fetch: site }]\n',
    );
    const loaded = await temp.load({ CAJE_DRAIN__GRACE: '5s' });
    const text = printConfig(loaded);
    expect(parse(text)).to.deep.include({
      spool: { maxBytes: '1GiB' },
      drain: { notReady: '0s', grace: '5s' },
      log: { level: 'info', access: true },
    });
    await temp.write('caje.yaml', text);
    expect((await temp.load()).config).to.deep.equal(loaded.config);
  });

  it('prints no secret, wherever it was written', async () => {
    await temp.write('secret', 'canary-4');
    await temp.write(
      'caje.yaml',
      `storage: { far: { type: s3, bucket: caje, secretAccessKey: canary-1 } }
fetchers:
  site: { type: origin, url: http://127.0.0.1:3000, auth: { bearer: "\${TOKEN}" } }
  near: { type: peer, url: http://127.0.0.1:8180, token: canary-3 }
  list: { type: upstreams, list: "http://me:canary-5@127.0.0.1/?key=canary-6,direct" }
  file: { type: peer, url: http://127.0.0.1:8180, token: { file: /run/secrets/shown } }
rules: [{ name: site, protocol: http, fetch: [near, site] }]
`,
    );
    const env = {
      TOKEN: 'canary-2',
      CAJE_STORAGE__FAR__SECRET_ACCESS_KEY_FILE: join(temp.folder, 'secret'),
    };
    const text = printConfig(await temp.load(env));
    expect(text).to.not.include('canary');
    expect(text).to.include('token: "***"').and.include('bearer: "***"');
    expect(text).to.include('file: /run/secrets/shown');
    expect(text).to.include('http://***@127.0.0.1/?***,direct');
  });

  it('hides telling keys of types that do not mark them', async () => {
    await temp.write(
      'caje.yaml',
      'fetchers: { site: { type: origin, url: http://127.0.0.1:3000, apiToken: canary } }\nrules: [{ name: site, protocol: http, fetch: site }]\n',
    );
    const text = await temp.refusal();
    expect(text).to.include('the unknown key "apiToken"').and.not.include('canary');
  });
});

describe('printDefaults', () => {
  it('has a line with key and value for every default', () => {
    const lines = printDefaults(configTypes).trimEnd().split('\n');
    const table = new Map(lines.map((line) => line.split(/ {2,}/) as [string, string]));
    const expected: Record<string, string> = {
      'listen.public': '127.0.0.1:8080',
      'limits.headerBytes': '16KiB',
      'limits.fields': '100',
      'limits.targetBytes': '8KiB',
      'limits.headerTime': '15s',
      'limits.requestTime': '30s',
      'limits.idleTime': '65s',
      'limits.connections': '10000',
      'manifest.lock.acquire': '10s',
      'drain.notReady': '0s',
      'drain.grace': '30s',
      'spool.maxBytes': '20GiB',
      'gc.orphanGrace': '1h',
      trustedProxies: 'none',
      'rules[].freshness': 'strict',
      'rules[].honorClientReload': 'true',
      'rules[](go).listTtl': '1m',
      'fetchers.NAME(origin).maxSockets': '64',
    };
    for (const [key, value] of Object.entries(expected))
      expect(table.get(key), key).to.equal(value);
  });
});

describe('configJsonSchema', () => {
  const schema = configJsonSchema(configTypes);

  it('is a strict draft 2020-12 schema without references', () => {
    expect(schema['$schema']).to.equal('https://json-schema.org/draft/2020-12/schema');
    expect(schema.additionalProperties).to.equal(false);
    expect(schema.required).to.deep.equal(['rules']);
    expect(JSON.stringify(schema)).to.not.include('$ref').and.not.include('componentKind');
  });

  it('tells component types and protocols apart', () => {
    const far = schemasAt(schema, { storage: { far: { type: 's3' } } }, ['storage', 'far']);
    expect(far).to.have.lengthOf(1);
    expect(far[0]?.properties).to.include.keys('type', 'bucket').and.not.include.keys('near');
    expect(far[0]?.required).to.include.members(['type', 'bucket']);
    const rule = schemasAt(schema, { rules: [{ protocol: 'http' }] }, ['rules', 0])[0];
    expect(rule?.properties)
      .to.include.keys('name', 'fetch', 'cookies')
      .and.not.include.keys('listTtl');
  });

  for (const file of readdirSync(GOOD)) {
    it(`takes ${file}`, async () => {
      const env = {
        CAJE_TEST_FOLDER: 'f',
        CAJE_TEST_COUNT: '7',
        CAJE_TEST_ACCESS: 'false',
        CAJE_TEST_PORT: '1',
      };
      const { effective } = await loadConfig({ file, env, types: configTypes, cwd: GOOD });
      expect(refusalsOf(schema, effective, [])).to.deep.equal([]);
    });
  }

  it('does not take an unknown key or a wrong type', () => {
    const wrong = { rules: [], listen: { public: 8080, admin: 'x' }, fills: { concurrent: '1' } };
    expect(refusalsOf(schema, wrong, [])).to.have.members([
      'listen.public',
      'listen.admin',
      'fills.concurrent',
    ]);
  });
});

/** Keys of values that no branch of the schema takes by key and type. */
function refusalsOf(schema: JsonSchema, tree: unknown, path: PathPart[]): string[] {
  const value = valueAt(tree, path);
  const schemas = schemasAt(schema, tree, path);
  const type = Array.isArray(value) ? 'array' : typeof value;
  const taken = schemas.some((branch) => {
    if (branch.const !== undefined) return branch.const === value;
    if (branch.enum !== undefined) return branch.enum.includes(value);
    const types = [branch.type ?? type].flat();
    return types.includes(type) || (Number.isInteger(value) && types.includes('integer'));
  });
  if (!taken) return [path.join('.')];
  const parts: PathPart[] = Array.isArray(value)
    ? [...value.keys()]
    : typeof value === 'object' && value !== null
      ? Object.keys(value)
      : [];
  return parts.flatMap((part) => refusalsOf(schema, tree, [...path, part]));
}
