import { fileURLToPath } from 'node:url';
import { MANIFEST_MIGRATIONS } from '../../src/manifest/schema.ts';

const ENTRY = fileURLToPath(new URL('newer-version-entry.ts', import.meta.url));

/** Version of the manifest's schema in this checkout, and in the version after it. */
export const SCHEMA: number = MANIFEST_MIGRATIONS.at(-1)?.version ?? 0;
export const NEWER_SCHEMA: number = SCHEMA + 1;

/** Environment of a node of the version after this one: its manifest has one migration more, and its rows one column. */
export const NEWER_VERSION_ENV: Readonly<Record<string, string>> = {
  NODE_OPTIONS: `--import=${ENTRY}`,
  CAJE_TEST_SCHEMA: String(NEWER_SCHEMA),
};

/** The same, but its rows are as they are here: such nodes may have one file between them. */
export const NEWER_SCHEMA_ENV: Readonly<Record<string, string>> = {
  ...NEWER_VERSION_ENV,
  CAJE_TEST_SAME_ROWS: '1',
};
