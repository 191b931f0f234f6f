import { join } from 'node:path';
import { expect } from 'chai';
import { GoClient } from '../support/go-command.ts';
import { GoRegistry } from '../support/go-registry.ts';
import { GoSumdb } from '../support/go-sumdb-double.ts';
import { NodeProcess } from '../support/node-process.ts';
import { type GoPlace, type GoScenario, neverChanges, type PhaseSite } from './go-phases.ts';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const PSEUDO = `v1.3.1-0.20240102030405-${COMMIT.slice(0, 12)}`;
const TOOLCHAIN = 'go1.99.1';

/** What people do with the modules of `DoubleSite`. Nothing leaves the machine. */
export const SCENARIOS: readonly GoScenario[] = [
  {
    title: 'get and build',
    async run(place) {
      await place.module('example.com/mid');
      await place.go('get', 'example.com/mid@latest');
      await place.go('build', './...');
      expect(await place.text('go.mod')).to.include('example.com/mid v1.0.0');
      return (await place.text('go.mod')) + (await place.text('go.sum'));
    },
  },
  {
    title: 'mod tidy',
    async run(place) {
      await place.module('example.com/mid', 'example.com/lib/deep/down');
      await place.go('mod', 'tidy');
      const sums = await place.text('go.sum');
      expect(sums).to.match(/^example\.com\/lib v1\.1\.0 h1:/m);
      return (await place.text('go.mod')) + sums;
    },
  },
  {
    title: 'install a tool at its latest version',
    async run(place) {
      await place.go('install', 'example.com/tools/cmd/hello@latest');
      const said = await place.go('version', '-m', join(place.client.bin, 'hello'));
      expect(said).to.match(/mod\texample\.com\/tools\tv1\.1\.0\th1:/);
      return said.replaceAll(place.client.bin, 'BIN');
    },
  },
  {
    title: 'run a tool at a version',
    async run(place) {
      await place.go('run', 'example.com/tools/cmd/hello@v1.0.0');
      return '';
    },
  },
  {
    title: 'get -u',
    async run(place) {
      await place.module('example.com/lib');
      await place.go('get', 'example.com/lib@v1.0.0');
      await place.go('get', '-u', './...');
      expect(await place.text('go.mod')).to.include('example.com/lib v1.1.0');
      return await place.text('go.sum');
    },
  },
  {
    title: 'list -m -versions, without and with retracted ones',
    async run(place) {
      const kept = await place.go('list', '-m', '-versions', 'example.com/lib');
      const all = await place.go('list', '-m', '-versions', '-retracted', 'example.com/lib');
      expect(kept).to.equal('example.com/lib v1.0.0 v1.1.0\n');
      expect(all).to.equal('example.com/lib v1.0.0 v1.1.0 v1.2.0 v1.3.0\n');
      return kept + all;
    },
  },
  {
    title: 'get a version that its author retracted',
    async run(place) {
      await place.module('example.com/lib');
      const { code, stderr } = await place.try('get', 'example.com/lib@v1.2.0');
      expect(code).to.equal(0);
      expect(stderr).to.include('retracted by module author: loses data');
      return await place.text('go.mod');
    },
  },
  {
    title: 'list -m -u all',
    async run(place) {
      await place.module('example.com/lib');
      await place.go('get', 'example.com/lib@v1.0.0', 'example.com/mixed/Case@v1.0.0');
      const listed = await place.go('list', '-m', '-u', 'all');
      expect(listed).to.include('example.com/lib v1.0.0 [v1.1.0]\n');
      expect(listed).to.include('example.com/mixed/Case v1.0.0\n');
      return listed;
    },
  },
  {
    title: 'a workspace of two modules',
    env: { GOWORK: '' },
    async run(place) {
      for (const [name, needs] of [
        ['one', 'example.com/lib v1.0.0'],
        ['two', 'example.com/mid v1.0.0'],
      ] as const)
        await place.write({
          [`${name}/go.mod`]: `module example.com/${name}\n\ngo 1.21\n\nrequire ${needs}\n`,
          [`${name}/one.go`]: `package ${name}\n\nimport _ "${needs.split(' ')[0]}"\n`,
        });
      await place.go('work', 'init', './one', './two');
      await place.go('work', 'sync');
      await place.go('build', './one', './two');
      expect(await place.text('one/go.mod'), 'raised by the other').to.include('lib v1.1.0');
      return await place.go('list', '-m', 'all');
    },
  },
  {
    title: 'GOFLAGS=-mod=mod adds what is missing',
    env: { GOFLAGS: '-modcacherw -buildvcs=false -trimpath -mod=mod' },
    async run(place) {
      await place.module('example.com/mid');
      await place.go('build', './...');
      expect(await place.text('go.mod')).to.include('example.com/mid v1.0.0');
      return await place.text('go.sum');
    },
  },
  {
    title: 'mod download all and mod verify',
    async run(place) {
      await place.module('example.com/mid', 'example.com/mixed/Case');
      await place.go('mod', 'tidy');
      await place.go('clean', '-modcache');
      await place.go('mod', 'download', 'all');
      const said = await place.go('mod', 'verify');
      expect(said).to.equal('all modules verified\n');
      return said + (await place.text('go.sum'));
    },
  },
  ...[COMMIT, COMMIT.slice(0, 10), 'master', 'feature'].map(
    (query): GoScenario => ({
      title: `get at ${query}`,
      async run(place) {
        await place.module('example.com/lib');
        await place.go('get', `example.com/lib@${query}`);
        expect(await place.text('go.mod')).to.include(`example.com/lib ${PSEUDO}`);
        return await place.text('go.sum');
      },
    }),
  ),
  {
    title: 'excluded and replaced modules',
    async run(place) {
      await place.module('example.com/mid', 'example.com/lib');
      await place.go('get', 'example.com/mid@v1.0.0', 'example.com/lib@v1.1.0');
      await place.go('mod', 'edit', '-droprequire=example.com/lib');
      await place.go('mod', 'edit', '-exclude=example.com/lib@v1.1.0');
      await place.go('get', 'example.com/lib@v1.0.0');
      expect(await place.text('go.mod')).to.include('example.com/lib v1.0.0');
      await place.go('mod', 'edit', '-replace=example.com/lib=example.com/fork@v1.0.0');
      await place.go('mod', 'tidy');
      await place.go('build', './...');
      const all = await place.go('list', '-m', 'all');
      expect(all).to.include('example.com/lib v1.0.0 => example.com/fork v1.0.0');
      return all;
    },
  },
  {
    title: 'a vendor folder',
    async run(place) {
      await place.module('example.com/mid');
      await place.go('mod', 'tidy');
      await place.go('mod', 'vendor');
      await place.go('build', '-mod=vendor', './...');
      return await place.text('vendor/modules.txt');
    },
  },
  {
    title: 'a toolchain switch by GOTOOLCHAIN',
    env: { GOTOOLCHAIN: TOOLCHAIN },
    run: async (place) => await switched(place, 'version'),
  },
  {
    title: 'a toolchain switch by a go line',
    env: { GOTOOLCHAIN: 'auto' },
    async run(place) {
      await place.write({ 'go.mod': 'module example.com/mine\n\ngo 1.99.1\n' });
      return await switched(place, 'build', './...');
    },
  },
  {
    title: 'list -m -versions of toolchains',
    async run(place) {
      const listed = await place.go('list', '-m', '-versions', 'toolchain');
      expect(listed).to.include(TOOLCHAIN);
      return listed;
    },
  },
];

async function switched(place: GoPlace, ...args: readonly string[]): Promise<string> {
  const said = await place.go(...args);
  expect(said).to.equal(`${TOOLCHAIN} was told: ${args.join(' ')}\n`);
  return said;
}

/** A node before a registry whose content is known and whose checksum database signs all of it. */
export class DoubleSite implements PhaseSite, AsyncDisposable {
  readonly registry: GoRegistry;
  readonly sumdb: GoSumdb;
  readonly node: NodeProcess;
  /** Folder of the clients, the test's own. */
  readonly folder: string;

  private constructor(parts: Pick<DoubleSite, 'registry' | 'sumdb' | 'node' | 'folder'>) {
    this.registry = parts.registry;
    this.sumdb = parts.sumdb;
    this.node = parts.node;
    this.folder = parts.folder;
  }

  /** `rule`: what its rule says beside what all do. */
  static async start(
    folder: string,
    rule: Readonly<Record<string, unknown>> = {},
  ): Promise<DoubleSite> {
    await using opened = new AsyncDisposableStack();
    const registry = opened.use(await GoRegistry.start());
    const sumdb = new GoSumdb('sums.example.org/of/the/test');
    fillRegistry(registry);
    sumdb.publish(registry);
    const node = await NodeProcess.start({
      config: {
        fetchers: { modules: { type: 'upstreams', list: registry.url } },
        rules: [
          {
            ...{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' },
            sumdb: [{ name: sumdb.name }],
            listTtl: '1h',
            ...rule,
          },
        ],
      },
    });
    opened.move();
    return new DoubleSite({ registry, sumdb, node, folder });
  }

  async client(env: Readonly<Record<string, string>>): Promise<GoClient> {
    return await GoClient.create({
      folder: this.folder,
      proxy: `${this.node.url}/go`,
      buildCache: join(this.folder, 'build'),
      env: { GOSUMDB: this.sumdb.key, ...env },
    });
  }

  async leave(): Promise<void> {
    await this.registry.leave();
  }

  /** What is not there may be asked for again, so it does not count. */
  async immutable(): Promise<readonly string[]> {
    const asked = this.registry.requests.splice(0);
    return asked.filter((path) => this.registry.has(path) && neverChanges(path));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node[Symbol.asyncDispose]();
    await this.registry[Symbol.asyncDispose]();
  }
}

function fillRegistry(registry: GoRegistry): void {
  const lib = 'example.com/lib';
  const retract = 'retract (\n\tv1.2.0 // loses data\n\tv1.3.0 // only to say so\n)\n';
  const deep = { 'lib.go': 'package lib\n', 'deep/down/down.go': 'package down\n' };
  registry.release(lib, 'v1.0.0', { files: deep });
  registry.release(lib, 'v1.1.0', { files: deep });
  registry.release(lib, 'v1.2.0', { files: deep });
  registry.release(lib, 'v1.3.0', { files: deep, mod: `module ${lib}\n\n${retract}` });
  registry.release(lib, PSEUDO, { files: deep, listed: false });
  const info = JSON.stringify({ Version: PSEUDO, Time: '2024-01-02T03:04:05Z' });
  for (const query of [COMMIT, COMMIT.slice(0, 10), 'master', 'feature'])
    registry.put(`/${lib}/@v/${query}.info`, info);
  registry.release('example.com/mid', 'v1.0.0', {
    mod: `module example.com/mid\n\ngo 1.21\n\nrequire ${lib} v1.1.0\n`,
    go: `package mid\n\nimport _ "${lib}"\n`,
  });
  registry.release('example.com/fork', 'v1.0.0', { files: deep });
  registry.release('example.com/mixed/Case', 'v1.0.0', { base: 'example.com/mixed/!case' });
  registry.tool('example.com/tools', 'v1.0.0', 'cmd/hello');
  registry.tool('example.com/tools', 'v1.1.0', 'cmd/hello');
  for (const machine of ['amd64', 'arm64'])
    registry.release('golang.org/toolchain', `v0.0.1-${TOOLCHAIN}.linux-${machine}`, {
      mod: 'a toolchain has no module line\n',
      files: {
        'bin/go': `#!/bin/sh\necho "${TOOLCHAIN} was told: $*"\n`,
        'bin/gofmt': '',
        'lib/nothing': '',
        [`pkg/tool/linux_${machine}/nothing`]: '',
      },
    });
}
