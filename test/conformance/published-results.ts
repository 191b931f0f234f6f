import { readFile } from 'node:fs/promises';
import { z } from 'zod';

/** Passed and all required tests of one group, then the optimal ones. */
export type GroupCounts = readonly [
  required: number,
  allRequired: number,
  optimal: number,
  allOptimal: number,
];

/**
 * What the suite publishes of other caches, counted by its own rules. It is measured with the suite's repository, which
 * has more tests than its npm package.
 */
export interface PublishedResults {
  readonly source: string;
  readonly date: string;
  readonly caches: readonly {
    readonly name: string;
    readonly version: string;
    readonly groups: Readonly<Record<string, GroupCounts>>;
  }[];
}

const COUNT = z.number().int().min(0);
const PUBLISHED: z.ZodType<PublishedResults> = z.strictObject({
  source: z.string(),
  date: z.string(),
  caches: z.array(
    z.strictObject({
      name: z.string(),
      version: z.string(),
      groups: z.record(z.string(), z.tuple([COUNT, COUNT, COUNT, COUNT])),
    }),
  ),
});

/** Reads them. Throws when the file is not what it should be. */
export async function publishedResults(): Promise<PublishedResults> {
  const file = new URL('published-results.json', import.meta.url);
  return PUBLISHED.parse(JSON.parse(await readFile(file, 'utf8')));
}
