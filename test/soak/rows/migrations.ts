import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { stringify } from 'yaml';
import { ManifestDatabase } from '../../../src/manifest/manifest-database.ts';
import { MANIFEST_MIGRATIONS, MANIFEST_SCHEMA } from '../../../src/manifest/schema.ts';
import { migrate, schemaVersion } from '../../../src/sqlite/migrations.ts';
import { openDatabase } from '../../../src/sqlite/open-database.ts';
import { runCaje } from '../../support/run-caje.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import type { SoakRow } from '../soak-row.ts';
import { traceObstacle } from '../system-calls.ts';
import { tryCases } from '../try-cases.ts';

const ENTRY = fileURLToPath(new URL('../../support/migrate-entry.ts', import.meta.url));
const NEWEST = MANIFEST_MIGRATIONS.at(-1)?.version ?? 0;
const UNKNOWN = NEWEST + 1;
/** Calls by which SQLite changes a file or brings it to the disk. */
const CALLS = ['pwrite64', 'fdatasync', 'fsync', 'ftruncate', 'unlink'];
/** Every so many cases an older program finds a newer schema; two migrate at once in the others. */
const NEWER_EVERY = 6;
/** Far above what a start takes on a busy machine. */
const LONGEST_MS = 60_000;

/** Schemas that change. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-107',
    title: 'killed at any call of a migration, a manifest has one schema or the next, and goes on',
    quick: 6,
    full: 200,
    obstacle: traceObstacle,
    run: async (run) => {
      await using folder = await tempFolder();
      const path = join(folder.path, 'counted.db');
      makeOld(path, 1);
      const points = await callsOf(path, join(folder.path, 'trace'));
      if (points.length === 0) throw new Error('no call of a migration was seen');
      let killed = 0;
      const result = await tryCases(run, async (number) => {
        const point = points[Math.floor((number * points.length) / run.cases) % points.length];
        const file = join(folder.path, `${number}.db`);
        makeOld(file, 1);
        const inject = `inject=${point?.call}:signal=KILL:when=${point?.number}`;
        const { signal } = await traced(file, `${file}.trace`, `trace=${point?.call}`, inject);
        if (signal === 'SIGKILL') killed++;
        expectSchema(file, 1);
        new ManifestDatabase(file).close();
        expectSchema(file, NEWEST);
      });
      run.log(`${points.length} calls; ${killed} of ${run.cases} died at theirs`);
      if (killed * 2 < run.cases) throw new Error('most calls did not come again');
      return result;
    },
  },
  {
    id: 'F-109',
    title:
      'two that migrate at once apply each step once; an older program changes nothing and says so',
    quick: 2,
    full: 60,
    run: async (run) => {
      await using folder = await tempFolder();
      return await tryCases(run, async (number) => {
        const isNewer = number % NEWER_EVERY === 1;
        const { file, path } = await place(join(folder.path, String(number)));
        makeOld(path, isNewer ? NEWEST : 1);
        if (isNewer) {
          await olderProgram(file, path);
          return;
        }
        const ended = await Promise.all([migrateAt(file), migrateAt(file)]);
        for (const { code, stderr } of ended)
          if (code !== 0) throw new Error(`ended with ${code}: ${stderr}`);
        expectSchema(path, NEWEST);
      });
    },
  },
];

async function olderProgram(file: string, path: string): Promise<void> {
  const database = openDatabase(path);
  database
    .prepare('UPDATE schema_versions SET version = ? WHERE name = ?')
    .run(UNKNOWN, MANIFEST_SCHEMA);
  database.close();
  const aside = `${path}.before`;
  await copyFile(path, aside);
  const { code, stderr } = await migrateAt(file);
  if (code === 0 || !stderr.includes(`version ${UNKNOWN}`))
    throw new Error(`ended with ${code}: ${stderr}`);
  if (!(await readFile(path)).equals(await readFile(aside))) throw new Error('it was changed');
}

async function migrateAt(file: string): ReturnType<typeof runCaje> {
  return await runCaje(['migrate', '--config', file], { timeoutMs: LONGEST_MS });
}

async function place(folder: string): Promise<{ readonly file: string; readonly path: string }> {
  const data = join(folder, 'data');
  await mkdir(data, { recursive: true });
  const file = join(folder, 'caje.yaml');
  const config = {
    data,
    storage: { local: { type: 'memory' } },
    stashers: { keep: { type: 'store', backend: 'local' } },
    fetchers: { site: { type: 'origin', url: 'http://127.0.0.1:9' } },
    rules: [{ name: 'site', protocol: 'http', fetch: ['site'], stash: 'keep' }],
  };
  await writeFile(file, stringify(config));
  return { file, path: join(data, 'manifest.db') };
}

function makeOld(path: string, version: number): void {
  const database = openDatabase(path);
  migrate(database, MANIFEST_SCHEMA, MANIFEST_MIGRATIONS.slice(0, version));
  database.close();
}

/** Throws where a file is unsound, older than said, or has other tables than its version says. */
function expectSchema(path: string, oldest: number): void {
  const database = openDatabase(path);
  const fresh = new Database(':memory:');
  try {
    const check = String(database.pragma('integrity_check', { simple: true }));
    if (check !== 'ok') throw new Error(check);
    const version = schemaVersion(database, MANIFEST_SCHEMA);
    if (version < oldest || version > NEWEST) throw new Error(`version ${version}`);
    migrate(fresh, MANIFEST_SCHEMA, MANIFEST_MIGRATIONS.slice(0, version));
    if (schemaOf(database) !== schemaOf(fresh))
      throw new Error(`it has not the tables of version ${version}`);
  } finally {
    fresh.close();
    database.close();
  }
}

function schemaOf(database: Database.Database): string {
  const rows = database.prepare('SELECT name, sql FROM sqlite_schema ORDER BY name').raw().all();
  return JSON.stringify(rows);
}

interface Point {
  readonly call: string;
  /** From 1: the n-th call of its kind by the process. */
  readonly number: number;
}

/** Calls by which a migration changes a database, in order. */
async function callsOf(path: string, trace: string): Promise<readonly Point[]> {
  const { code } = await traced(path, trace, `trace=${CALLS.join(',')}`);
  if (code !== 0) throw new Error(`the migration ended with ${code}`);
  const seen = new Map<string, number>();
  const points: Point[] = [];
  for (const line of (await readFile(trace, 'utf8')).split('\n')) {
    const [, call] = /^(\w+)\(/.exec(line) ?? [];
    if (call === undefined) continue;
    const number = (seen.get(call) ?? 0) + 1;
    seen.set(call, number);
    if (line.includes(path)) points.push({ call, number });
  }
  return points;
}

/** Migrates a database in a process of its own, whose main thread is traced as the expressions say. */
async function traced(
  path: string,
  trace: string,
  ...expressions: readonly string[]
): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }> {
  const options = expressions.flatMap((expression) => ['-e', expression]);
  const program = [process.execPath, '--conditions=caje-source', ENTRY, path];
  const child = spawn('strace', ['-y', '-s', '0', '-o', trace, ...options, ...program], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const [said, [code, signal]] = await Promise.all([
    text(child.stderr),
    once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
  ]);
  if (code !== 0 && signal === null) throw new Error(`ended with ${code}: ${said.trim()}`);
  return { code, signal };
}
