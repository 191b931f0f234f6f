import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { expect } from 'chai';
import { parse } from 'yaml';
import { GitServer } from '../support/git-server.ts';
import { commitTo, gitMissing } from '../support/git-server-repository.ts';
import { goMissing } from '../support/go-command.ts';
import { GoRegistry } from '../support/go-registry.ts';
import { GoSumdb } from '../support/go-sumdb-double.ts';
import { NodeProcess } from '../support/node-process.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { type Block, blocksOf, document } from './documents.ts';
import { commandsOf, expectAsSaid } from './shell-blocks.ts';

const PAGE = document('docs/go.md');
const UPSTREAM = 'https://modules.example.com';
const GIT = 'https://git.corp.example.com';
const VALIDATOR = 'http://127.0.0.1:7000';
const STICK = '/mnt/stick';
const ATHENS = '/srv/athens';
const SUMDB = 'sums.example.org';
const TOKEN = 'a-token-for-git';
const START_MS = 60_000;
const PATIENCE_MS = 5_000;

const PROJECT = `module example.com/project

go 1.24

require (
	example.com/lib v1.4.0
	golang.org/x/text v0.20.0
)
`;

/** Where the page shows no configuration: the part of the built-in default that is about modules. */
const DEFAULT = `
fetchers: { modules: { type: upstreams, list: go-env } }
rules: [{ name: go, path: /go/*, strip: true, protocol: go, fetch: modules, network: fallback }]
`;

/** Blocks of one place, such as `go=team`: at most one configuration, then commands. */
function places(): ReadonlyMap<string, readonly Block[]> {
  const blocks = blocksOf(PAGE).flatMap((block) => {
    const name = wordOf(block, 'go');
    return name === undefined ? [] : [{ name, block }];
  });
  const grouped = Map.groupBy(blocks, ({ name }) => name);
  return new Map([...grouped].map(([name, those]) => [name, those.map(({ block }) => block)]));
}

/** `team` of `go=team`. */
function wordOf(block: Block | undefined, key: string): string | undefined {
  return block?.words.find((word) => word.startsWith(`${key}=`))?.slice(key.length + 1);
}

describe('docs/go.md', function () {
  this.timeout(START_MS);
  let temp: TempFolder;
  let registry: GoRegistry;
  let git: GitServer;
  let validator: Server;
  const sumdb = new GoSumdb(SUMDB);

  before(async function () {
    skipUnless(this, goMissing() === undefined, goMissing() ?? '');
    skipUnless(this, gitMissing() === undefined, gitMissing() ?? '');
    temp = await tempFolder();
    registry = await GoRegistry.start();
    registry.release('golang.org/x/tools', 'v0.30.0');
    registry.release('golang.org/x/text', 'v0.20.0');
    registry.release('example.com/lib', 'v1.0.0');
    registry.release('example.com/lib', 'v1.4.0');
    registry.release('example.com/frozen', 'v1.0.0');
    sumdb.publish(registry);
    const athens = join(temp.path, 'athens-root/example.com/lib/v1.4.0');
    await mkdir(athens, { recursive: true });
    for (const [ending, name] of [
      ['info', 'v1.4.0.info'],
      ['mod', 'go.mod'],
      ['zip', 'source.zip'],
    ] as const) {
      const { body } = registry.reply(`/example.com/lib/@v/v1.4.0.${ending}`);
      if (typeof body !== 'function') await writeFile(join(athens, name), body);
    }
    const root = join(temp.path, 'git');
    await mkdir(join(root, 'team'), { recursive: true });
    const files = { 'go.mod': 'module corp.example.com/team/mod\n', 'mod.go': 'package mod\n' };
    commitTo(join(root, 'team/mod.git'), [{ files, tags: ['v1.0.0'] }]);
    git = await GitServer.start({ root });
    git.protected.set('team', `git:${TOKEN}`);
    validator = createServer((request, response) => {
      void textOf(request).then((text) => {
        const { Version } = JSON.parse(text) as { Version: string };
        response.writeHead(Version === 'v1.0.0' ? 403 : 200).end('not this one');
      });
    });
    await once(validator.listen(0, '127.0.0.1'), 'listening');
  });

  after(async () => {
    validator?.close();
    await git?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
    await temp?.[Symbol.asyncDispose]();
  });

  function here(text: string): string {
    const { port } = validator.address() as AddressInfo;
    return text
      .replaceAll(UPSTREAM, registry.url)
      .replaceAll(GIT, git.url)
      .replaceAll(STICK, join(temp.path, 'stick'))
      .replaceAll(ATHENS, join(temp.path, 'athens-root'))
      .replaceAll(VALIDATOR, `http://127.0.0.1:${port}`);
  }

  for (const [name, blocks] of places()) {
    it(`does what it says: ${name}`, async () => {
      const config = blocks.find(({ words }) => words[0] === 'yaml')?.text ?? DEFAULT;
      const { listen: _, ...whole } = parse(here(config)) as Record<string, unknown>;
      const folder = join(temp.path, name);
      await mkdir(join(folder, 'tmp'), { recursive: true });
      await writeFile(join(folder, 'git.token'), `${TOKEN}\n`);
      await writeFile(join(folder, 'go.mod'), PROJECT);
      registry.requests.length = 0;
      await using node = await NodeProcess.start({
        config: whole,
        folder,
        env: { GOPROXY: registry.url, GOSUMDB: sumdb.key },
      });
      const env = {
        GOENV: join(folder, 'go.env'),
        GOPATH: join(folder, 'gopath'),
        GOSUMDB: sumdb.key,
        GOTOOLCHAIN: 'local',
        // The go command knows no project that lies in the folder for temporary files itself.
        TMPDIR: join(folder, 'tmp'),
      };
      const commands = blocks.filter(({ words }) => words[0] === 'sh').flatMap(commandsOf);
      for (const command of commands)
        await expectAsSaid(command, node, { env, here, patienceMs: PATIENCE_MS });
      expect(commands.length).to.be.above(0);
      if (config.includes('network: offline }')) expect(registry.requests).to.deep.equal([]);
    });
  }

  it('has a place for everything that it shows', () => {
    const shown = blocksOf(PAGE).filter(
      ({ words }) => !words.some((word) => word.startsWith('go=')),
    );
    expect(shown.map(({ line }) => line)).to.deep.equal([]);
    expect([...places().keys()]).to.include.members(['person', 'team', 'private', 'athens']);
  });
});
