import { execFile } from 'node:child_process';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { tempFolder } from '../support/temp-folder.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Imports that each place must not make, and some that it may. */
const PLACES: readonly {
  readonly file: string;
  readonly refused: readonly string[];
  readonly allowed: readonly string[];
}[] = [
  {
    file: 'src/errors.ts',
    refused: [
      './storage/backend.ts',
      './sqlite/migrations.ts',
      './gomod/version.ts',
      './main.ts',
      './cli/caje.ts',
      'koa',
    ],
    allowed: ['./body.ts', 'node:fs', 'zod'],
  },
  {
    file: 'src/gomod/plain.ts',
    refused: [
      '../sqlite/migrations.ts',
      '../fetchers/fetcher.ts',
      '../protocol/protocol.ts',
      '../container.ts',
      'better-sqlite3',
      'koa',
    ],
    allowed: ['../errors.ts', './version.ts', 'node:crypto'],
  },
  {
    file: 'src/sqlite/plain.ts',
    refused: ['../manifest/entry.ts', '../storage/digest.ts', '../container.ts', 'koffi'],
    allowed: ['../errors.ts', './migrations.ts', 'better-sqlite3'],
  },
  {
    file: 'src/storage/plain.ts',
    refused: [
      '../manifest/entry.ts',
      '../fetchers/fetcher.ts',
      '../stashers/fill.ts',
      '../protocol/protocol.ts',
      '../http/server.ts',
      '../config/config.ts',
      '../cli/caje.ts',
      '../main.ts',
      '../tokens.ts',
      '@aws-sdk/client-s3',
      'better-sqlite3',
      'koa',
      'inversify',
    ],
    allowed: ['../errors.ts', '../sqlite/migrations.ts', './digest.ts', 'lru-cache'],
  },
  {
    file: 'src/storage/s3-plain.ts',
    refused: ['../manifest/entry.ts', 'better-sqlite3'],
    allowed: ['@aws-sdk/client-s3', '@aws-sdk/lib-storage', './digest.ts'],
  },
  {
    file: 'src/storage/node-database-plain.ts',
    refused: ['../manifest/entry.ts', '@aws-sdk/client-s3'],
    allowed: ['better-sqlite3', '../sqlite/open-database.ts'],
  },
  {
    file: 'src/manifest/plain.ts',
    refused: ['../storage/digest.ts', '../fetchers/fetcher.ts', '../stashers/fill.ts', 'koffi'],
    allowed: ['better-sqlite3', '@caje/litefs', '../sqlite/open-database.ts'],
  },
  {
    file: 'src/fetchers/plain.ts',
    refused: ['../storage/digest.ts', '../manifest/entry.ts', '../protocol/protocol.ts', 'koa'],
    allowed: ['undici', './fetcher.ts', '../headers.ts'],
  },
  {
    file: 'src/stashers/plain.ts',
    refused: ['../protocol/protocol.ts', '../http/server.ts', '../main.ts', 'better-sqlite3'],
    allowed: ['../storage/backend.ts', '../manifest/entry.ts', '../fetchers/fetcher.ts'],
  },
  {
    file: 'src/protocol/plain.ts',
    refused: ['../http/server.ts', '../config/config.ts', '../cli/caje.ts', 'koa', '@koa/router'],
    allowed: ['../stashers/fill.ts', '../fetchers/fetcher.ts', './protocol.ts'],
  },
  {
    file: 'src/config/plain.ts',
    refused: ['../http/server.ts', '../cli/caje.ts', '../main.ts', 'inversify'],
    allowed: ['../protocol/protocol.ts', '../component.ts', 'yaml'],
  },
  {
    file: 'src/http/plain.ts',
    refused: ['../config/config.ts', '../cli/caje.ts', '../container.ts', 'inversify'],
    allowed: ['koa', '@koa/router', '../protocol/protocol.ts'],
  },
  {
    file: 'src/main.ts',
    refused: ['./cli/caje.ts', 'koa', 'better-sqlite3'],
    allowed: ['./container.ts', './http/server.ts', './config/config.ts'],
  },
  {
    file: 'src/container.ts',
    refused: ['./cli/caje.ts', 'koa', '@aws-sdk/client-s3'],
    allowed: ['inversify', 'reflect-metadata', './tokens.ts', './storage/backend.ts'],
  },
  {
    file: 'src/cli/plain.ts',
    refused: ['koa', 'inversify', 'better-sqlite3', '@aws-sdk/client-s3', 'koffi'],
    allowed: ['../main.ts', '../config/config.ts', 'commander'],
  },
  {
    file: 'packages/litefs/src/plain.ts',
    refused: ['../../../src/errors.ts', 'better-sqlite3', 'koa'],
    allowed: ['koffi', './ofd-lock.ts'],
  },
];

describe('layers', () => {
  let found: ReadonlyMap<string, readonly string[]>;

  before(async function (this: Mocha.Context) {
    this.timeout(30_000);
    await using folder = await tempFolder();
    found = await refusedImports(folder.path);
  });

  for (const { file, refused, allowed } of PLACES) {
    for (const specifier of refused) {
      it(`${file} may not import ${specifier}`, () => {
        expect(found.get(file) ?? []).to.include(specifier);
      });
    }
    it(`${file} may import ${allowed.join(', ')}`, () => {
      expect(found.get(file) ?? []).to.not.include.members([...allowed]);
      for (const specifier of allowed) expect(found.get(file) ?? []).to.not.include(specifier);
    });
  }
});

/** Lets Biome check a file with all imports of each place under this repository's rules. Gives what it refused, by file. */
async function refusedImports(folder: string): Promise<ReadonlyMap<string, readonly string[]>> {
  await copyFile(join(root, 'biome.json'), join(folder, 'biome.json'));
  const lines = new Map<string, readonly string[]>();
  for (const { file, refused, allowed } of PLACES) {
    const specifiers = [...refused, ...allowed];
    lines.set(file, specifiers);
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await writeFile(
      join(folder, file),
      specifiers.map((specifier, n) => `import { x as x${n} } from '${specifier}';\n`).join(''),
    );
  }
  const report = await biome(folder);
  const found = new Map<string, string[]>();
  for (const { location } of report.diagnostics) {
    const specifier = lines.get(location.path)?.[location.start.line - 1];
    if (specifier !== undefined) {
      found.set(location.path, [...(found.get(location.path) ?? []), specifier]);
    }
  }
  return found;
}

interface Report {
  readonly diagnostics: readonly {
    readonly location: { readonly path: string; readonly start: { readonly line: number } };
  }[];
}

async function biome(folder: string): Promise<Report> {
  const program = join(root, 'node_modules/@biomejs/biome/bin/biome');
  const args = ['lint', '--vcs-enabled=false', '--only=style/noRestrictedImports'];
  const limits = ['--max-diagnostics=none', '--reporter=json'];
  return await new Promise((resolve, reject) => {
    // Biome exits 1 where it found something: the report tells.
    execFile(
      process.execPath,
      [program, ...args, ...limits],
      { cwd: folder },
      (_, stdout, stderr) => {
        if (stdout.startsWith('{')) resolve(JSON.parse(stdout) as Report);
        else reject(new Error(stderr));
      },
    );
  });
}
