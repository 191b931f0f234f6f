import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { defaultConfig } from '../../src/config/default-config.ts';
import { goMissing } from '../support/go-command.ts';
import { NodeProcess } from '../support/node-process.ts';
import { runCaje } from '../support/run-caje.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { skipUnless } from '../support/skip.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { type Block, blocksOf, type Document, document, documents } from './documents.ts';
import { commandsOf, expectAsSaid, PUBLIC } from './shell-blocks.ts';

const PEER = '127.0.0.1:8180';
const S3 = 'http://127.0.0.1:9000';
const SITE = 'http://127.0.0.1:3000';
const FREE = '127.0.0.1:0';
/** Where nothing listens: the world outside is away. */
const NOWHERE = { HTTPS_PROXY: 'http://127.0.0.1:1', HTTP_PROXY: 'http://127.0.0.1:1' };
const START_MS = 60_000;
/** A program is built from its sources. */
const GO_MS = 300_000;

/** The built-in default, to be served on a port and from a folder of its own. */
const DEFAULT = parse(defaultConfig) as Record<string, unknown>;

const has = (block: Block, word: string): boolean => block.words.slice(1).includes(word);

describe('commands in the documentation', () => {
  for (const page of documents()) {
    const blocks = blocksOf(page).filter((block) => block.words[0] === 'sh' && has(block, 'run'));
    if (blocks.length > 0) describe(page.name, () => runsAsWritten(blocks));
  }
});

function runsAsWritten(blocks: readonly Block[]): void {
  let node: NodeProcess;

  before(async function () {
    this.timeout(START_MS);
    node = await NodeProcess.start({ config: DEFAULT });
  });

  after(async () => await node[Symbol.asyncDispose]());

  for (const block of blocks) {
    it(`line ${block.line} does what it says`, async function () {
      this.timeout(has(block, 'go') ? GO_MS : START_MS);
      if (has(block, 'go')) {
        skipUnless(this, goMissing() === undefined, goMissing() ?? '');
        const reached = await reachesUpstream(node);
        skipUnless(this, reached, 'the upstream of go env GOPROXY is out of reach', {
          exempt: true,
        });
      }
      if (has(block, 'offline')) {
        await node.stop();
        await node.restart(NOWHERE);
      }
      for (const command of commandsOf(block)) await expectAsSaid(command, node);
    });
  }
}

async function reachesUpstream(node: NodeProcess): Promise<boolean> {
  const response = await fetch(`${node.url}/go/golang.org/x/tools/@v/v0.30.0.info`);
  await response.body?.cancel();
  return response.status === 200;
}

describe('configurations in the documentation', () => {
  for (const page of documents()) {
    for (const block of blocksOf(page)) {
      if (block.words[0] !== 'yaml' || block.words.length === 1) continue;
      it(`${page.name}, line ${block.line}: is a right one`, async () => {
        await using folder = await tempFolder();
        await writeFile(join(folder.path, 'caje.yaml'), block.text);
        const { code, stderr } = await runCaje(['config', 'check'], { cwd: folder.path });
        expect(code, stderr).to.equal(0);
      }).timeout(START_MS);
    }
  }

  it('README.md: keeps in S3, and on disk after one line was changed', async function () {
    this.timeout(START_MS);
    skipUnless(this, s3ServerMissing() === undefined, s3ServerMissing() ?? '');
    await using s3 = await startS3Server();
    await using site = await NodeProcess.start({ config: DEFAULT });
    await s3.createBucket('caje');
    const written = blockOf(document('README.md'), 's3')
      .text.replace(S3, s3.endpoint)
      .replace(SITE, site.url);
    await expectKept(written, s3, true);
    await expectKept(written.replace('backend: far', 'backend: local'), s3, false);
  });

  it('docs/guide.md: lets a second node fetch through the first', async function () {
    this.timeout(START_MS);
    await using folder = await tempFolder();
    const guide = document('docs/guide.md');
    const token = join(folder.path, 'peer.token');
    await writeFile(token, 'a-token-of-enough-characters\n');
    const configOf = (name: string, replaced: string): Record<string, unknown> =>
      parse(
        blockOf(guide, `node=${name}`)
          .text.replaceAll('peer.token', token)
          .replaceAll('127.0.0.1:8090', FREE)
          .replaceAll(PUBLIC, FREE)
          .replaceAll(PEER, replaced),
      ) as Record<string, unknown>;
    await using first = await NodeProcess.start({ config: configOf('first', FREE) });
    await using second = await NodeProcess.start({
      config: configOf('second', new URL(first.peerUrl).host),
    });
    expect(await cacheResult(`${second.url}/fast`)).to.equal('MISS');
    expect(await cacheResult(`${second.url}/fast`)).to.equal('HIT');
    expect((await first.counters())['fetches_total{site}']).to.equal(1);
  });
});

function blockOf(page: Document, word: string): Block {
  const found = blocksOf(page).find((block) => has(block, word));
  if (found === undefined) throw new Error(`${page.name} has no block marked ${word}`);
  return found;
}

async function expectKept(config: string, s3: S3Server, inBucket: boolean): Promise<void> {
  const env = { AWS_ACCESS_KEY_ID: s3.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.secretAccessKey };
  const settings = parse(config) as Record<string, unknown>;
  await using node = await NodeProcess.start({ config: settings, env });
  const url = `${node.url}/size/100000?${inBucket}`;
  expect(await cacheResult(url)).to.equal('MISS');
  const { stdout } = await node.run('ls', '--json', '--prefix', url);
  const { digest } = JSON.parse(stdout) as { digest: string };
  expect(await cacheResult(url)).to.equal('HIT');
  const name = join(digest.slice(0, 2), digest);
  const place = inBucket
    ? join(s3.dataFolder, 'caje/sha256', name)
    : join(node.dataDir, 'blobs', name);
  expect((await readFile(place)).length).to.equal(100_000);
}

/** What X-Cache says of an answer that came well. */
async function cacheResult(url: string): Promise<string | null> {
  const response = await fetch(url);
  expect(response.status, await response.text()).to.equal(200);
  return response.headers.get('x-cache');
}

describe('README.md', () => {
  it('shows the banner as it is', async () => {
    await using node = await NodeProcess.start({ config: DEFAULT });
    const shown = blockOf(document('README.md'), 'banner').text.trimEnd();
    const here = shown.replaceAll(PUBLIC, new URL(node.url).host).replace('built-in default', '…');
    const pattern = new RegExp(RegExp.escape(here).replaceAll('…', '.*'));
    // An answer shows that it is up, its end that all was written.
    await cacheResult(`${node.url}/`);
    await node.stop();
    expect(node.output.join('\n')).to.match(pattern);
  }).timeout(START_MS);
});

describe('docs/cli.md', () => {
  it('shows the JSON of each command as it is', async () => {
    await using node = await NodeProcess.start({ config: DEFAULT });
    await cacheResult(`${node.url}/`);
    const page = document('docs/cli.md');
    for (const [command, ...args] of [['ls'], ['journal'], ['verify'], ['purge', '--all']]) {
      const { stdout } = await node.run(String(command), ...args, '--json');
      const shown = JSON.parse(blockOf(page, `shape=${command}`).text) as unknown;
      expect(shapeOf(JSON.parse(stdout.split('\n')[0] ?? '')), command).to.deep.equal(
        shapeOf(shown),
      );
    }
  }).timeout(START_MS);
});

/** Keys and types of a value; of a list those of its first item. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shapeOf);
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, shapeOf(inner)]),
  );
}
