import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { type FillRow, fillRow } from '../../src/go-schemas.ts';
import { GoRegistry } from '../support/go-registry.ts';
import { NodeProcess } from '../support/node-process.ts';
import { CAJE, cleanEnv } from '../support/run-caje.ts';

const VERSIONS = Array.from({ length: 30 }, (_, at) => `v1.${at}.0`);
/** Three of each version. */
const FILES = 90;
const SEEN = 20;
/** Longer than all the rows take. */
const SLOW_MS = 3_000;

describe('caje populate, stopped', function () {
  this.timeout(90_000);
  let registry: GoRegistry;
  let node: NodeProcess;
  let list: string;

  beforeEach(async () => {
    registry = await GoRegistry.start();
    for (const version of VERSIONS) registry.release('example.com/many', version);
    node = await NodeProcess.start({
      config: {
        fetchers: { modules: { type: 'upstreams', list: registry.url } },
        rules: [
          {
            ...{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' },
            sumdb: [],
          },
        ],
      },
    });
    list = join(node.folder, 'many.txt');
    await writeFile(list, VERSIONS.map((version) => `example.com/many@${version}\n`).join(''));
  });

  afterEach(async () => {
    await node[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
  });

  it('prints every row for a reader that is slow to begin', async () => {
    await node.stop();
    const many = Array.from({ length: 2_000 }, (_, at) => `example.com/none@v1.${at}.0\n`);
    await writeFile(list, many.join(''));
    const child = spawn(CAJE, ['populate', list, '--json', '--dry-run', '-c', node.configFile], {
      env: cleanEnv(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await sleep(SLOW_MS);
    const printed = await text(child.stdout);
    expect(printed.split('\n')).to.have.length(3 * many.length + 1);
  });

  for (const [how, running] of [
    ['SIGKILL', false],
    ['SIGINT', false],
    ['SIGINT', true],
  ] as const) {
    it(`goes on where ${how} stopped it, ${running ? 'in a running node' : 'without one'}`, async () => {
      if (!running) await node.stop();
      const child = spawn(
        CAJE,
        ['populate', list, '--json', '--concurrency', '2', '-c', node.configFile],
        { env: cleanEnv(), stdio: ['ignore', 'pipe', 'inherit'] },
      );
      const said = await rowsUntil(child, SEEN, how);
      expect(said.length).to.be.at.least(SEEN).and.lessThan(FILES);
      if (how === 'SIGINT') expect(child.exitCode).to.equal(1);
      const first = new Set(said.map(({ path }) => `/${path}`));
      registry.requests.length = 0;

      const { stdout } = await node.run('populate', list, '--json');

      const rows = stdout.split('\n').filter((line) => line !== '');
      const rest = rows.map((line) => fillRow.parse(JSON.parse(line)));
      expect(rest).to.have.length(FILES);
      expect(rest.filter(({ outcome }) => outcome === 'failed')).to.deep.equal([]);
      expect(rest.filter(({ outcome }) => outcome === 'kept')).to.have.length.at.least(first.size);
      expect(registry.requests.filter((path) => first.has(path))).to.deep.equal([]);
    });
  }
});

/** Reads rows until there are so many, then sends the signal; gives all rows that came. */
async function rowsUntil(
  child: ChildProcess,
  count: number,
  signal: NodeJS.Signals,
): Promise<FillRow[]> {
  const rows: FillRow[] = [];
  const ended = once(child, 'exit');
  if (!child.stdout) throw new Error('nothing to read from');
  for await (const line of createInterface({ input: child.stdout })) {
    // The last line of a process that was killed may be cut.
    if (!line.endsWith('}')) break;
    rows.push(fillRow.parse(JSON.parse(line)));
    if (rows.length === count) child.kill(signal);
  }
  await ended;
  return rows;
}
