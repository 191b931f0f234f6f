import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { request } from 'undici';
import { FaultProxy } from '../support/fault-proxy.ts';
import { NodeProcess } from '../support/node-process.ts';
import { CAJE, cleanEnv, type RunResult, runCaje } from '../support/run-caje.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const FAULT = fileURLToPath(new URL('../fixtures/plugins/fault-on-signal.ts', import.meta.url));
const DEMO = {
  fetchers: { demo: { type: 'slow-server' } },
  rules: [{ name: 'demo', protocol: 'http', fetch: 'demo' }],
};
/** What "at once" may take on a machine that does much else. Milliseconds. */
const SOON_MS = 5_000;

describe('caje serve', function () {
  this.timeout(60_000);

  it('says what is served where, from what, kept in what, and what to try', async () => {
    await using node = await NodeProcess.start({
      config: {
        fetchers: {
          demo: { type: 'slow-server' },
          site: { type: 'origin', url: 'http://127.0.0.1:9/base' },
          modules: { type: 'upstreams', list: 'http://127.0.0.1:9,direct' },
          nothing: { type: 'upstreams', list: 'off' },
        },
        storage: { local: { type: 'disk', path: 'blobs', maxBytes: '1GiB' } },
        rules: [
          { name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' },
          { name: 'dead', path: '/dead/*', strip: true, protocol: 'go', fetch: 'nothing' },
          { name: 'site', host: 'www.example.com', protocol: 'http', fetch: 'site', stash: 'pass' },
          { name: 'demo', protocol: 'http', fetch: 'demo' },
        ],
      },
    });
    // It is written after the line that the node listens.
    expect(await node.stop()).to.deep.equal({ code: 0, signal: undefined });
    const text = node.output.join('\n');
    expect(text).to.match(/^caje \d+\.\d+\.\d+ listens on http:\/\/127\.0\.0\.1:\d+ /);
    expect(text).to.match(
      /go: http:\S+\/go\/\* → go from http:\/\/127\.0\.0\.1:9\/, kept in local \(disk\)/,
    );
    expect(text).to.match(/dead: off, because .*names no module proxy/);
    expect(text).to.include(
      'site: www.example.com/* → http from site (http://127.0.0.1:9/base), not kept',
    );
    expect(text).to.include('→ http from demo (slow-server), kept in local (disk)');
    expect(text).to.include(`data lies in ${node.dataDir}`);
    expect(text).to.not.include('not yet enforced');
    expect(text).to.match(/note: go: "direct" is left out/);
    expect(text).to.match(/curl -i -H 'Host: www\.example\.com' http:/);
    expect(text).to.match(/GOPROXY=http:\S+\/go go install /);
    expect(text).to.include(`caje ls --config ${node.configFile}`);
  });

  it('C4: a second signal ends it at once, whatever runs', async () => {
    await using node = await NodeProcess.start({ config: DEMO });
    const url = new URL('/stream?chunks=2&interval=60000', node.url);
    const answer = await request(url);
    expect(answer.statusCode).to.equal(200);
    const cut = once(answer.body, 'error');
    answer.body.resume();
    const ended = node.stop();
    await untilRefused(node.url);
    expect(node.isRunning).to.equal(true);
    const again = performance.now();
    await node.signal('SIGINT');
    expect(performance.now() - again).to.be.lessThan(SOON_MS);
    expect((await ended).signal).to.equal(undefined);
    await cut;
    expect(node.log.map(({ msg }) => msg)).to.include('a second signal: what is left is cut');
  });

  for (const [signal, what, words] of [
    ['SIGUSR2', 'an exception that nothing catches', 'thrown where nobody catches'],
    ['SIGHUP', 'a rejection that nobody looks at', 'rejected where nobody looks'],
  ] as const) {
    it(`ends with 1 and one log line for ${what}`, async () => {
      await using node = await NodeProcess.start({ config: { ...DEMO, plugins: [FAULT] } });
      const begun = performance.now();
      const ended = await node.signal(signal);
      expect(performance.now() - begun).to.be.lessThan(SOON_MS);
      expect(ended).to.deep.equal({ code: 1, signal: undefined });
      const lines = node.log.filter(({ msg }) => msg.includes('nothing caught'));
      expect(lines).to.have.length(1);
      expect(lines[0]?.['err']).to.include(words);
      expect(node.output.join('\n')).to.not.include('    at ');
    });
  }

  it('goes on when nobody reads what it writes', async () => {
    await using folder = await tempFolder();
    const file = join(folder.path, 'caje.yaml');
    await writeFile(file, JSON.stringify({ ...DEMO, listen: { public: '127.0.0.1:0' } }));
    const child = spawn(CAJE, ['serve', '--config', file], { env: cleanEnv() });
    const ended = once(child, 'exit');
    child.stdout.destroy();
    const [line] = (await once(createInterface(child.stderr), 'line')) as [string];
    const { url } = JSON.parse(line) as { url: string };
    child.stderr.destroy();
    // Two, for the first one's log line is what meets the closed pipe.
    for (const size of [1, 2]) {
      const { body } = await request(`${url}/size/${size}`);
      expect((await body.arrayBuffer()).byteLength).to.equal(size);
    }
    child.kill('SIGTERM');
    expect(await ended).to.deep.equal([0, null]);
  });

  it('refuses a data folder in which another node runs, asks no primary before, and leaves that one alone', async () => {
    await using asked = await FaultProxy.start('http://127.0.0.1:1');
    await using folder = await tempFolder();
    const file = join(folder.path, 'token');
    await writeFile(file, 'a-token\n');
    await using node = await NodeProcess.start({ config: DEMO });
    const env = {
      CAJE_LISTEN__PUBLIC: '127.0.0.1:0',
      CAJE_MANIFEST__REPLICATION: 'journal',
      CAJE_MANIFEST__LOCK__TYPE: 'peer',
      CAJE_CLUSTER__PRIMARY: asked.url,
      CAJE_CLUSTER__TOKEN__FILE: file,
    };
    const second = await node.runWith({ env }, 'serve');
    expect(second.code).to.equal(1);
    expect(asked.connections.opened).to.equal(0);
    const { dataDir, pid } = node;
    expect(second.stderr).to.include(
      `another caje runs with this data folder, ${dataDir}: process ${pid} answers at`,
    );
    const { statusCode, body } = await request(`${node.url}/size/1`);
    await body.dump();
    expect(statusCode).to.equal(200);
  });

  describe('does not start, and says in one line what to change', () => {
    let temp: TempFolder;

    beforeEach(async () => {
      temp = await tempFolder();
    });

    afterEach(async () => {
      await temp[Symbol.asyncDispose]();
    });

    const serve = async (more: object): Promise<RunResult> => {
      const config = { ...DEMO, listen: { public: '127.0.0.1:0' }, ...more };
      await writeFile(join(temp.path, 'caje.yaml'), JSON.stringify(config));
      return await runCaje(['serve'], { cwd: temp.path });
    };

    for (const [what, more, code, words] of [
      [
        'with a token file that is not there',
        {
          listen: { public: '127.0.0.1:0', peer: '127.0.0.1:0' },
          cluster: { tokens: [{ name: 'n2', file: 'no-such-token' }] },
        },
        2,
        /^caje: the token of peer n2 cannot be read from \S+no-such-token/,
      ],
      [
        'with an address that this machine does not have',
        { listen: { public: '192.0.2.1:0' } },
        2,
        /^caje: cannot listen on 192\.0\.2\.1:0: this machine has no such address/,
      ],
      [
        'with a data folder whose path is too long for a socket',
        { data: `./${'long'.repeat(30)}` },
        2,
        /^caje: .*choose a shorter data folder/,
      ],
    ] as const) {
      it(what, async () => {
        const result = await serve(more);
        expect(result.code, result.stderr).to.equal(code);
        const said = result.stderr.split('\n').filter((line) => line !== '' && line[0] !== '{');
        expect(said).to.have.length(1);
        expect(said[0]).to.match(words);
        expect(result.stdout).to.equal('');
      });
    }
  });
});

/** Resolves when a node takes no more connections: it has begun to stop. */
async function untilRefused(url: string): Promise<void> {
  for (;;) {
    try {
      const { body } = await request(`${url}/_caje/healthz`, { headers: { Connection: 'close' } });
      await body.dump();
    } catch {
      return;
    }
  }
}
