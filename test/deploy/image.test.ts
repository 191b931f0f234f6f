import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { document } from '../docs/documents.ts';
import { NodeProcess } from '../support/node-process.ts';
import { cleanEnv } from '../support/run-caje.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { environmentOf, given, readDockerfile, type Stage } from './dockerfile.ts';

const ROOT = join(import.meta.dirname, '../..');
const stages = readDockerfile(document('Dockerfile').text);

async function run(command: string, cwd: string): Promise<void> {
  const path = `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`;
  const child = spawn('sh', ['-c', command], { cwd, env: { ...process.env, PATH: path } });
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number]>,
  ]);
  expect(code, `${command}\n${out}\n${err}`).to.equal(0);
}

/** Does in a folder what the stage does in its working directory. What npm fetches is taken from this checkout. */
async function make({ instructions }: Stage, folder: string): Promise<void> {
  for (const { name, text: of } of instructions) {
    if (name === 'COPY') {
      const paths = of.split(/\s+/);
      const to = join(folder, paths.pop() ?? '');
      const isFolder = to.endsWith('/');
      for (const path of paths) {
        await mkdir(isFolder ? to : dirname(to), { recursive: true });
        const place = isFolder ? join(to, path) : to;
        await cp(join(ROOT, path), place, {
          recursive: true,
          filter: (source) => !/\/(node_modules|dist)$/.test(source),
        });
      }
    } else if (name === 'RUN' && of === 'npm ci') {
      await run(`cp -a ${join(ROOT, 'node_modules')} .`, folder);
      await run(
        'rm node_modules/@caje/litefs; ln -s ../../packages/litefs node_modules/@caje/litefs',
        folder,
      );
    } else if (name === 'RUN') await run(of, folder);
  }
}

describe('the image', function () {
  this.timeout(180_000);

  it('holds a node that serves, with nothing that only development needs, and whose health is seen', async () => {
    await using folder = await tempFolder();
    const [build, node] = stages;
    if (build === undefined || node === undefined) throw new Error('two stages are expected');
    await make(build, folder.path);
    expect(given(stages, node, 'COPY')).to.include('--from=build /src /opt/caje');
    await run(
      'test ! -e src && test ! -e node_modules/mocha && test ! -e node_modules/typescript',
      folder.path,
    );

    const {
      NODE_COMPILE_CACHE: _,
      CAJE_DATA: __,
      CAJE_LISTEN__PUBLIC: listen = '',
      ...env
    } = environmentOf(stages, node);
    const config = {
      fetchers: { site: { type: 'slow-server' } },
      rules: [{ name: 'site', protocol: 'http', fetch: 'site' }],
    };
    await using caje = await NodeProcess.start({
      config,
      env,
      program: join(folder.path, 'bin/caje'),
    });
    expect((await fetch(`${caje.url}/fast`)).status).to.equal(200);

    const [check = ''] = given(stages, node, 'HEALTHCHECK');
    const [program = '', ...args] = JSON.parse(check.slice(check.indexOf('CMD ') + 4)) as string[];
    expect(program).to.equal('node');
    const asked = `127.0.0.1:${listen.split(':')[1]}`;
    const health = async (): Promise<number | null> => {
      const own = args.map((arg) => arg.replace(asked, new URL(caje.url).host));
      expect(own).not.to.deep.equal(args);
      const child = spawn(process.execPath, own, { env: cleanEnv(), stdio: 'inherit' });
      return ((await once(child, 'exit')) as [number | null])[0];
    };
    expect(await health()).to.equal(0);
    await caje.stop();
    expect(await health()).to.equal(1);
  });
});
