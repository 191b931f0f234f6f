import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { goModHash } from '../../src/gomod/dirhash.ts';
import { HashThread } from '../../src/gomod/hash-thread.ts';
import { hashModuleZip } from '../../src/gomod/zip-hash.ts';
import { GoClient, goMissing } from '../support/go-command.ts';
import { GoUpstream, goProxy } from '../support/go-upstream.ts';
import { skipUnless } from '../support/skip.ts';
import { tempFolder } from '../support/temp-folder.ts';

/** What the go command says of one module that it downloaded. */
interface Downloaded {
  readonly Path: string;
  readonly Version: string;
  readonly Zip: string;
  readonly GoMod: string;
  readonly Sum: string;
  readonly GoModSum: string;
}

const PROGRAM = new URL('../fixtures/go-program/go.mod', import.meta.url);
const MODULES = 12;

describe('Module zips as they are published', function () {
  this.timeout(120_000);

  it('have the hashes that the go command computes', async function () {
    const missing = goMissing();
    skipUnless(this, missing === undefined, missing ?? '');
    const proxy = goProxy() ?? '';
    skipUnless(this, proxy !== '', 'go env GOPROXY names no module proxy', { exempt: true });
    const required = [...(await readFile(PROGRAM, 'utf8')).matchAll(/^\t(\S+) (v\S+)/gm)];
    const named = required.slice(0, MODULES).map(([, module, version]) => `${module}@${version}`);
    expect(named).to.have.length(MODULES);
    await using folder = await tempFolder();
    await using upstream = await GoUpstream.start(proxy);
    const isReached = await upstream.has('/golang.org/x/text/@v/v0.3.0.info');
    skipUnless(this, isReached, 'the module proxy of go env GOPROXY is out of reach', {
      exempt: true,
    });
    const client = await GoClient.create({
      folder: folder.path,
      proxy: upstream.url,
      env: { GOSUMDB: 'off' },
    });
    const said = await client.go(folder.path, 'mod', 'download', '-json', ...named);
    const all = said.split(/(?<=^\})\n/m).filter((text) => text.trim() !== '');
    expect(all).to.have.length(MODULES);
    await using thread = new HashThread();
    for (const text of all) {
      const { Path, Version, Zip, GoMod, Sum, GoModSum } = JSON.parse(text) as Downloaded;
      const of = { module: Path, version: Version, thread };
      expect(await hashModuleZip(createReadStream(Zip), of), Path).to.deep.equal({ h1: Sum });
      expect(goModHash(await readFile(GoMod)), Path).to.equal(GoModSum);
    }
  });
});
