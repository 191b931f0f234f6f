import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';

/** What the next version would change: a migration, a column more in every row, and what it takes from nodes that have not got it. */
const CHANGES: Readonly<Record<string, readonly (readonly [RegExp, string])[]>> = {
  'src/manifest/schema.ts': [
    [
      /^\];$/m,
      `  { version: Number(process.env['CAJE_TEST_SCHEMA']), sql: \`
        ALTER TABLE entries ADD COLUMN later TEXT;
        CREATE INDEX entries_by_later ON entries (later);
        CREATE TABLE later_things (name TEXT PRIMARY KEY);\` },\n];`,
    ],
  ],
  'src/manifest/entry-row.ts': [
    [/ {2}'stale_at',\n\] as const/, `  'stale_at',\n  'later',\n] as const`],
    [/ {4}entry\.staleAt,\n {2}\];/, '    entry.staleAt,\n    `of ${entry.key}`,\n  ];'],
  ],
  'src/manifest/shipped-change.ts': [[/column === 'h1'/, `column === 'h1' || column === 'later'`]],
};

/** What may change where nodes have one file between them: their rows are summed up by the same columns. */
const SAME_ROWS = process.env['CAJE_TEST_SAME_ROWS'] !== undefined;

// Loaded before a node, and in each of its threads: the program of this checkout, but one migration newer.
registerHooks({
  load: (url, context, nextLoad) => {
    const found = Object.entries(CHANGES).find(([path]) => url.endsWith(`/${path}`));
    const [path, changes] = found ?? [];
    if (changes === undefined || (SAME_ROWS && path !== 'src/manifest/schema.ts'))
      return nextLoad(url, context);
    let source = readFileSync(fileURLToPath(url), 'utf8');
    for (const [what, by] of changes) {
      if (!what.test(source)) throw new Error(`${url} has no ${what}`);
      source = source.replace(what, () => by);
    }
    return { format: 'module-typescript', source, shortCircuit: true };
  },
});
