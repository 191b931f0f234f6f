import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import type { GoClient, GoResult } from '../support/go-command.ts';
import type { NodeProcess } from '../support/node-process.ts';
import { skipUnless } from '../support/skip.ts';

/** What a person does with the go command in an empty folder, and what comes of it as a text that is always the same. */
export interface GoScenario {
  readonly title: string;
  /** For its go commands, besides what every client has. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  run(place: GoPlace): Promise<string>;
}

/** In the order in which they are run. */
const PHASES = ['cold', 'warm', 'restarted', 'upstream away'] as const;

/** Where scenarios are run; read when the tests run, so that `before` may set it up. */
export interface PhaseSite {
  readonly node: NodeProcess;
  /** A folder for working folders. */
  readonly folder: string;
  /** One with empty caches of its own. */
  client(env: Readonly<Record<string, string>>): Promise<GoClient>;
  leave(): Promise<void>;
  /** Paths of files that never change and that the upstream was asked for since the last call. */
  immutable(): Promise<readonly string[]>;
  /** Whether the upstream itself does not serve a path that the node answered 403 or 404 for. Absent: it serves all. */
  refuses?(path: string): Promise<boolean>;
}

/** Whether the file at this path, where there is one, is the same for good. */
export function neverChanges(path: string): boolean {
  if (/\.(?:zip|mod)$|\/sumdb\/.*\/(?:lookup|tile)\//.test(path)) return true;
  return /\/@v\/v\d+\.\d+\.\d+[^/]*\.info$/.test(path);
}

/** A go command in an empty folder. */
export class GoPlace {
  readonly folder: string;
  readonly client: GoClient;

  constructor(folder: string, client: GoClient) {
    this.folder = folder;
    this.client = client;
  }

  /** Runs `go` and gives what it printed. Throws, with what it said, when it fails. */
  async go(...args: readonly string[]): Promise<string> {
    return await this.client.go(this.folder, ...args);
  }

  async try(...args: readonly string[]): Promise<GoResult> {
    return await this.client.try(this.folder, ...args);
  }

  async write(files: Readonly<Record<string, string>>): Promise<void> {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(this.folder, path)), { recursive: true });
      await writeFile(join(this.folder, path), text);
    }
  }

  async text(path: string): Promise<string> {
    return await readFile(join(this.folder, path), 'utf8');
  }

  /** Runs a scenario in a new folder below `site`. */
  static async run(site: PhaseSite, { env = {}, run }: GoScenario): Promise<string> {
    const folder = await mkdtemp(join(site.folder, 'place-'));
    const outcome = await run(new GoPlace(folder, await site.client(env)));
    return outcome.replaceAll(folder, 'FOLDER');
  }

  /** A module with one package that uses these. */
  async module(...imports: readonly string[]): Promise<void> {
    const lines = imports.map((path) => `import _ "${path}"\n`).join('');
    await this.write({
      'go.mod': 'module example.com/mine\n\ngo 1.21\n',
      'mine.go': `package mine\n\n${lines}`,
    });
  }
}

/**
 * Runs every scenario as one client after another with empty caches: by a cold node, a warm one, one restarted, and with
 * the upstream away. Each time the same must come of it; what never changes is fetched once, and never again.
 */
export function inAllPhases(site: () => PhaseSite, scenarios: readonly GoScenario[]): void {
  const outcomes = new Map<string, string>();
  for (const phase of PHASES) {
    describe(phase, () => {
      before(async () => {
        const { node } = site();
        if (phase === 'restarted') {
          await node.stop();
          await node.restart();
        }
        if (phase === 'upstream away') await site().leave();
        await site().immutable();
      });

      for (const scenario of scenarios) {
        const { title } = scenario;
        it(title, async function () {
          const possible = phase === 'cold' || outcomes.has(title);
          skipUnless(this, possible, 'it could not be done when cold', { exempt: true });
          try {
            const outcome = await GoPlace.run(site(), scenario);
            if (phase === 'cold') outcomes.set(title, outcome);
            expect(outcome).to.equal(outcomes.get(title));
          } catch (error) {
            const path = phase === 'cold' ? refusedPath(error) : undefined;
            if (path === undefined || (await site().refuses?.(path)) !== true) throw error;
            skipUnless(this, false, `the upstream refuses ${path}`, { exempt: true });
          }
        });
      }

      it(phase === 'cold' ? 'fetched each file once' : 'fetched no file again', async () => {
        const asked = await site().immutable();
        if (phase !== 'cold') expect(asked).to.deep.equal([]);
        else {
          for (const kind of ['.info', '.mod', '.zip', '/lookup/', '/tile/'])
            expect(
              asked.some((path) => path.includes(kind)),
              kind,
            ).to.equal(true);
          expect(asked).to.have.lengthOf(new Set(asked).size);
        }
      });
    });
  }
}

/** What the go command says it was refused. Absent: it failed otherwise. */
function refusedPath(error: unknown): string | undefined {
  const said = error instanceof Error ? error.message : '';
  return /reading http:\/\/[^/]+\/go(\/\S+): 40[34] /.exec(said)?.[1];
}
