import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { z } from 'zod';

/** One test of the suite; a test counts only if all that it depends on passed. */
export interface CacheTest {
  readonly id: string;
  /** `check` asks for information: there is no right answer. */
  readonly kind: 'required' | 'optimal' | 'check';
  readonly dependsOn: readonly string[];
}

/** Tests of one subject. */
export interface TestGroup {
  readonly id: string;
  readonly tests: readonly CacheTest[];
}

/** A checkout of the public HTTP cache suite, or its npm package: what it tests and which programs run it. */
export interface CacheSuite {
  /** Working directory of its programs. */
  readonly folder: string;
  readonly server: string;
  /** What its client runs tests with. */
  readonly runner: string;
  /** Where its tests are listed. */
  readonly tests: string;
  readonly groups: readonly TestGroup[];
}

const GROUP = z.object({
  id: z.string(),
  tests: z.array(
    z.object({
      id: z.string(),
      kind: z.enum(['required', 'optimal', 'check']).default('required'),
      depends_on: z.array(z.string()).default([]),
      browser_only: z.boolean().default(false),
    }),
  ),
});

/** The suite in a folder; absent: the package that this project depends on. Tests for browsers alone are left out. */
export async function loadSuite(folder: string = packageFolder()): Promise<CacheSuite> {
  const root = resolve(folder);
  const engine = existsSync(join(root, 'test-engine')) ? 'test-engine' : '.';
  // The package's client adds Surrogate-Control by itself: a note that no RFC took up, and which later versions dropped.
  const tests = join(root, 'tests/index.mjs');
  const groups = await defaultOf(tests);
  return {
    folder: root,
    server: join(root, engine, 'server/server.mjs'),
    runner: join(root, engine, 'client/runner.mjs'),
    tests,
    groups: z.array(GROUP).parse(groups).map(toGroup),
  };
}

function toGroup({ id, tests }: z.infer<typeof GROUP>): TestGroup {
  return {
    id,
    tests: tests
      .filter((test) => !test.browser_only)
      .map((test) => ({ id: test.id, kind: test.kind, dependsOn: test.depends_on })),
  };
}

function packageFolder(): string {
  return dirname(fileURLToPath(import.meta.resolve('http-cache-tests/package.json')));
}

async function defaultOf(file: string): Promise<unknown> {
  const module = (await import(pathToFileURL(file).href)) as { readonly default: unknown };
  return module.default;
}
