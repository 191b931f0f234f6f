import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { stringify } from 'yaml';
import { MANIFEST_MIGRATIONS, MANIFEST_SCHEMA } from '../../src/manifest/schema.ts';
import { migrate, schemaVersion } from '../../src/sqlite/migrations.ts';
import { openDatabase } from '../../src/sqlite/open-database.ts';
import { holdLock } from '../support/hold-lock.ts';
import { NodeProcess } from '../support/node-process.ts';
import { runCaje } from '../support/run-caje.ts';
import { tempFolder } from '../support/temp-folder.ts';

const NEWEST = MANIFEST_MIGRATIONS.length;

const CONFIG = {
  data: 'data',
  storage: { local: { type: 'memory' } },
  stashers: { keep: { type: 'store', backend: 'local' } },
  fetchers: { site: { type: 'origin', url: 'http://127.0.0.1:9' } },
  rules: [{ name: 'site', protocol: 'http', fetch: ['site'], stash: 'keep' }],
};

async function place(more: object = {}) {
  const folder = await tempFolder();
  const data = join(folder.path, 'data');
  await mkdir(data);
  const file = join(folder.path, 'caje.yaml');
  await writeFile(file, stringify({ ...CONFIG, ...more }));
  const path = join(data, 'manifest.db');
  return {
    file,
    path,
    run: async (...args: string[]) => await runCaje(['migrate', '--config', file, ...args]),
    [Symbol.asyncDispose]: async () => await folder[Symbol.asyncDispose](),
  };
}

function versionOf(path: string): number {
  const database = openDatabase(path, { readOnly: true });
  try {
    return schemaVersion(database, MANIFEST_SCHEMA);
  } finally {
    database.close();
  }
}

function makeOld(path: string, version: number): void {
  const database = openDatabase(path);
  migrate(database, MANIFEST_SCHEMA, MANIFEST_MIGRATIONS.slice(0, version));
  database.close();
}

describe('caje migrate', function () {
  this.timeout(30_000);

  it('makes a manifest where there is none, and changes nothing the second time', async () => {
    await using at = await place();
    const first = await at.run();
    expect(first).to.include({ code: 0, stdout: `${at.path}: made, version ${NEWEST}\n` });
    expect(versionOf(at.path)).to.equal(NEWEST);
    const again = await at.run('--json');
    expect(again.code).to.equal(0);
    expect(JSON.parse(again.stdout)).to.deep.equal({ path: at.path, from: NEWEST, to: NEWEST });
  });

  it('brings an older manifest to the newest version, once its lock is free', async () => {
    await using at = await place();
    makeOld(at.path, 1);
    await using holder = await holdLock(`${at.path}-lock`);
    expect(holder.said).to.equal('held');
    const running = at.run();
    const early = await Promise.race([
      running,
      new Promise((resolve) => setTimeout(resolve, 2_000)),
    ]);
    expect(early).to.equal(undefined);
    expect(versionOf(at.path)).to.equal(1);
    await holder.release();
    const { code, stdout } = await running;
    expect({ code, stdout }).to.deep.equal({
      code: 0,
      stdout: `${at.path}: version 1 → ${NEWEST}\n`,
    });
    expect(versionOf(at.path)).to.equal(NEWEST);
  });

  it('F-109: leaves a manifest of a newer caje alone', async () => {
    await using at = await place();
    makeOld(at.path, NEWEST);
    const database = openDatabase(at.path);
    database.exec(`UPDATE schema_versions SET version = 99 WHERE name = '${MANIFEST_SCHEMA}'`);
    database.close();
    const { code, stderr } = await at.run();
    expect(code).to.equal(1);
    expect(stderr).to.contain(`version 99, this caje knows ${NEWEST}`);
    expect(versionOf(at.path)).to.equal(99);
  });

  it('finds nothing to do beside a node that runs', async () => {
    await using node = await NodeProcess.start({ config: CONFIG });
    const { code, stdout } = await node.run('migrate');
    expect(code).to.equal(0);
    expect(stdout).to.contain(`version ${NEWEST} already`);
  });
});
