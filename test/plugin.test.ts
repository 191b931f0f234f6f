import { readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { builtinTypes } from '../src/builtin-types.ts';
import { ConfigError } from '../src/config/config-error.ts';
import { loadConfig } from '../src/config/load-config.ts';
import { kindOf, messageOf } from '../src/errors.ts';
import { type RunningNode, startNode } from '../src/main.ts';
import { importPlugins, type PluginModule, typesBoundBy } from '../src/plugin.ts';
import { failureOf } from './contract/backend-fixture.ts';
import { eventually } from './criteria/eventually.ts';
import { HttpClient } from './support/http-client.ts';
import { RecordedLog } from './support/recorded-log.ts';
import { type TempFolder, tempFolder } from './support/temp-folder.ts';

const FOLDER = fileURLToPath(new URL('./fixtures/plugins/', import.meta.url));
const GUIDE = new URL('../docs/plugins.md', import.meta.url);
const FILES = ['greeting-fetcher', 'counting-backend', 'logging-stasher', 'echo-protocol'];

const ALL = `
plugins:
${FILES.map((file) => `  - ${join(FOLDER, `${file}.ts`)}`).join('\n')}
`;

describe('Plug-ins', () => {
  let folder: TempFolder;
  let client: HttpClient;
  let log: RecordedLog;
  let node: RunningNode | undefined;

  beforeEach(async () => {
    folder = await tempFolder();
    client = new HttpClient();
    log = new RecordedLog();
  });
  afterEach(async () => {
    await client[Symbol.asyncDispose]();
    await node?.close();
    node = undefined;
    await folder[Symbol.asyncDispose]();
  });

  /** Starts a node as the command line does. */
  async function start(yaml: string): Promise<RunningNode> {
    const plugins: PluginModule[] = [];
    await writeFile(join(folder.path, 'caje.yaml'), `listen: { public: 127.0.0.1:0 }\n${yaml}`);
    const { config, types } = await loadConfig({
      env: {},
      types: builtinTypes,
      cwd: folder.path,
      loadPlugins: async (paths) => {
        const modules = await importPlugins(paths);
        plugins.push(...modules);
        return typesBoundBy(modules);
      },
    });
    const startDemo = async (): Promise<URL> => {
      throw new Error('nothing here needs the demo site');
    };
    node = await startNode({ config, types, plugins, log, startDemo });
    return node;
  }

  /** What is wrong with a configuration, as it is printed. */
  async function refusalOf(yaml: string): Promise<string> {
    const failure = await failureOf(start(yaml));
    if (failure instanceof ConfigError) return failure.message;
    throw failure;
  }

  it('F3: bring a fetcher, a backend, a stasher and a protocol, used by name', async () => {
    const { publicUrl } = await start(`${ALL}
fetchers:
  hello: { type: greeting, greeting: Hello }
storage:
  counted: { type: counting, inner: local }
stashers:
  inside: { type: store, backend: counted }
  watched: { type: logging, inner: inside }
rules:
  - { name: loud, path: /loud/*, strip: true, protocol: echo, shout: true, fetch: hello }
  - { name: quiet, path: /quiet/*, protocol: echo, fetch: hello }
  - { name: site, protocol: http, fetch: hello, stash: watched }
`);
    const seen: string[] = [];
    for (const path of ['/a', '/a', '/b', '/loud/x', '/quiet/x']) {
      const { headers, body } = await client.get(publicUrl + path);
      seen.push(`${headers.get('x-cache')} ${body}`);
    }
    expect(seen).to.deep.equal([
      'MISS Hello, /a, for the 1. time',
      'HIT Hello, /a, for the 1. time',
      'MISS Hello, /b, for the 2. time',
      'BYPASS GET /X\n',
      'BYPASS GET /quiet/x\n',
    ]);
    const told = () =>
      log.lines.filter(({ message }) => ['stashed', 'one more body'].includes(message));
    // Clients do not wait for what is kept behind their answers.
    await eventually('two bodies are kept', () => told().length === 4);
    expect(
      told().map(({ fields }) => [
        fields['stasher'] ?? fields['backend'],
        fields['kept'] ?? fields['bodies'],
      ]),
    ).to.deep.equal([
      ['counted', 1],
      ['watched', true],
      ['counted', 2],
      ['watched', true],
    ]);
  });

  it('have their options checked: an unknown one is named with its line', async () => {
    const refusal = await refusalOf(`${ALL}
fetchers:
  hello: { type: greeting, greeting: Hello, loudness: 3 }
rules:
  - { name: site, protocol: http, fetch: hello }
`);
    expect(refusal).to.match(/caje\.yaml:10: fetchers\.hello\.loudness: /);
  });

  it('have the options of their protocol checked in the rule', async () => {
    const refusal = await refusalOf(`${ALL}
fetchers:
  hello: { type: greeting, greeting: Hello }
rules:
  - { name: site, protocol: echo, fetch: hello, shuot: true }
`);
    expect(refusal).to.match(/caje\.yaml:12: rules\[0\]\.shuot: .*shout/);
  });

  it('may refer to each other, but not in a circle', async () => {
    const refusal = await refusalOf(`${ALL}
fetchers:
  hello: { type: greeting, greeting: Hello }
stashers:
  one: { type: logging, inner: two }
  two: { type: logging, inner: one }
rules:
  - { name: site, protocol: http, fetch: hello, stash: one }
`);
    expect(refusal).to.match(
      /caje\.yaml:12: stashers\.one\.inner: expected components without a circle/,
    );
    expect(refusal).to.contain('stashers.one → stashers.two → stashers.one');
  });

  it('may refer only to what there is', async () => {
    const refusal = await refusalOf(`${ALL}
fetchers:
  hello: { type: greeting, greeting: Hello }
stashers:
  one: { type: logging, inner: kepe }
rules:
  - { name: site, protocol: http, fetch: hello, stash: one }
`);
    expect(refusal).to.match(/stashers\.one\.inner: .*"?kepe/);
    expect(refusal).to.contain('keep');
  });

  it('cannot take the name of a type that is there', async () => {
    const path = join(FOLDER, 'greeting-fetcher.ts');
    const refusal = await refusalOf(`
plugins: [${path}, ${path}]
fetchers:
  hello: { type: greeting, greeting: Hello }
rules:
  - { name: site, protocol: http, fetch: hello }
`);
    expect(refusal).to.match(/caje\.yaml:3: plugins\[1\]: .*"greeting", which is there already/);
  });

  for (const [what, text, found] of [
    [
      'exports no plugin',
      'export const plug = 1;\n',
      'it exports no ContainerModule named "plugin"',
    ],
    [
      'exports another thing as plugin',
      'export const plugin = 1;\n',
      'it exports no ContainerModule',
    ],
    ['throws', 'throw new Error("not today");\n', 'not today'],
    ['is no program', 'export const = ;\n', 'Unexpected token'],
  ] as const) {
    it(`is refused, with its line, when the module ${what}`, async () => {
      const path = join(folder.path, 'module.mjs');
      await writeFile(path, text);
      const refusal = await refusalOf(`
plugins: [./module.mjs]
fetchers:
  site: { type: origin, url: http://127.0.0.1:1 }
rules:
  - { name: site, protocol: http, fetch: site }
`);
      expect(refusal).to.match(
        /caje\.yaml:3: plugins\[0\]: expected a module that exports a plugin/,
      );
      expect(refusal).to.contain(found);
      const failure = await failureOf(importPlugins([path]));
      expect([kindOf(failure), messageOf(failure).includes(found)]).to.deep.equal([
        'invalid',
        true,
      ]);
    });
  }

  it('are in the guide as they are used here', async () => {
    const guide = await readFile(GUIDE, 'utf8');
    const blocks = [...guide.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code);
    for (const file of FILES) {
      const code = await readFile(join(FOLDER, `${file}.ts`), 'utf8');
      const published = code.replaceAll(/'\.\.\/\.\.\/\.\.\/src\/(.*)\.ts'/g, "'caje/dist/$1.js'");
      expect(blocks, `${basename(file)} in docs/plugins.md`).to.include(published);
    }
  });
});
