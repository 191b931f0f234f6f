import type { CallOptions } from './body.ts';
import { messageOf } from './errors.ts';
import { type Asked, askFor } from './go-ask.ts';
import { type GoParts, isStoredIn, openGoRule, requestFor } from './go-rules.ts';
import type { FillRow, PopulateGraph, PopulateInput } from './go-schemas.ts';
import { type ModuleVersion, parseGoMod } from './gomod/go-mod-file.ts';
import { goproxyPath } from './gomod/goproxy-path.ts';
import { ModuleGraph } from './gomod/module-graph.ts';
import { escapeGo } from './gomod/module-path.ts';
import {
  fullTileOf,
  type LookupTree,
  readLookupTree,
  tilesOf,
} from './gomod/sumdb-lookup-tiles.ts';
import { workThrough } from './work-queue.ts';

/** One file to be had. */
interface Job extends ModuleVersion {
  readonly file: FillRow['file'];
  readonly path: string;
}

type ModuleFile = 'info' | 'mod' | 'zip';

const ALL: readonly ModuleFile[] = ['info', 'mod', 'zip'];
const SMALL: readonly ModuleFile[] = ['info', 'mod'];
/** Statuses that say of what a build can do without that it is not to be had. */
const ABSENT: ReadonlySet<number> = new Set([403, 404, 410]);

/**
 * Has a rule fetch files as if clients had asked, row by row: those that are named, those that a main module's graph reaches,
 * and what a client needs to check them. What is kept is not fetched again. Throws `invalid` for the rule, `aborted`.
 */
export async function* populate(
  parts: GoParts,
  input: PopulateInput,
  options: CallOptions,
): AsyncGenerator<FillRow> {
  const rule = await openGoRule(parts, input.rule);
  const { protocol } = rule;
  const plan = new Plan((module) =>
    input.sumdb && !protocol.hidesSums(module) ? protocol.sumdbNames : [],
  );
  for (const { files, ...version } of input.modules) plan.want(version, files);
  const graph = input.graph && plan.begin(input.graph);
  const trees = new Map<string, LookupTree[]>();

  const fetch = async (job: Job, signal: AbortSignal): Promise<Asked> =>
    await askFor(protocol, requestFor(parts, rule.config, job.path, input.dryRun), {
      manifest: parts.manifest,
      isStored: async (digest) => await isStoredIn(parts, digest),
      namespace: rule.namespace,
      key: job.path,
      wantsText: job.file === 'lookup' || (job.file === 'mod' && graph !== undefined),
      signal,
    });
  const run = (jobs: readonly Job[]): AsyncGenerator<FillRow> =>
    workThrough(
      jobs,
      input.concurrency,
      async (job, { add, signal }) => {
        const asked = await fetch(job, signal);
        const { text } = asked;
        let { problem } = asked;
        if (text !== undefined && job.file === 'lookup') noteTree(trees, job, text);
        if (text !== undefined && job.file === 'mod' && graph)
          problem ??= plan.follow(graph, job, text);
        // A tile that is no longer unfinished at the database: clients take the full one, too.
        const full = job.file === 'tile' && isAbsent(asked) ? fullTileOf(job.path) : undefined;
        if (full !== undefined) plan.wantTile(full);
        for (const more of plan.take()) add(more);
        // Many a go.mod file names versions that never were, where no build looks.
        const isEdge = graph?.isEdge(job) === true;
        if (isEdge && asked.problem === undefined) problem = undefined;
        const isOptional = isEdge || job.file === 'lookup' || job.file === 'tile';
        return rowOf(job, { ...asked, problem }, plan.wanted, isOptional);
      },
      options,
    );
  yield* run(plan.take());
  if (graph && input.graph?.pruned === false) {
    for (const version of graph.selected()) plan.want(version, ALL);
    yield* run(plan.take());
  }
  for (const [database, lookups] of trees)
    for (const tile of tilesOf(lookups)) plan.wantTile(`sumdb/${database}${tile}`);
  yield* run(plan.take());
}

/** What is wanted, each file once. */
class Plan {
  readonly #databasesOf: (module: string) => readonly string[];
  readonly #known = new Set<string>();
  #jobs: Job[] = [];

  /** `databasesOf` names those that are asked about a module. */
  constructor(databasesOf: (module: string) => readonly string[]) {
    this.#databasesOf = databasesOf;
  }

  /** Files wanted so far. */
  get wanted(): number {
    return this.#known.size;
  }

  /** What came since this was last asked. */
  take(): readonly Job[] {
    const jobs = this.#jobs;
    this.#jobs = [];
    return jobs;
  }

  want(version: ModuleVersion, files: readonly ModuleFile[]): void {
    const { module } = version;
    for (const file of files)
      this.#add({ ...version, file, path: goproxyPath(module, file, version.version) });
    const name = `${escapeGo(module)}@${escapeGo(version.version)}`;
    for (const database of this.#databasesOf(module))
      this.#add({ ...version, file: 'lookup', path: `sumdb/${database}/lookup/${name}` });
  }

  wantTile(path: string): void {
    this.#add({ module: '', version: '', file: 'tile', path });
  }

  begin(main: PopulateGraph): ModuleGraph {
    const graph = new ModuleGraph(main);
    for (const root of main.roots) {
      const found = graph.replaced(root);
      if (found !== undefined) this.want(found, ALL);
    }
    for (const version of graph.addRoots([...main.roots, ...main.also])) this.want(version, SMALL);
    return graph;
  }

  /** Goes on from a go.mod file that came. Absent: well; else why its requirements stay unknown. */
  follow(graph: ModuleGraph, version: ModuleVersion, text: string): string | undefined {
    const name = `${version.module}@${version.version}/go.mod`;
    try {
      const file = parseGoMod(text, { name, dependency: true });
      for (const reached of graph.read(version, file)) this.want(reached, SMALL);
      return undefined;
    } catch (error) {
      return messageOf(error);
    }
  }

  #add(job: Job): void {
    if (this.#known.has(job.path)) return;
    this.#known.add(job.path);
    this.#jobs.push(job);
  }
}

function noteTree(trees: Map<string, LookupTree[]>, { path }: Job, text: string): void {
  const database = path.slice('sumdb/'.length, path.lastIndexOf('/lookup/'));
  const tree = readLookupTree(Buffer.from(text));
  if (tree === undefined) return;
  const known = trees.get(database);
  if (known === undefined) trees.set(database, [tree]);
  else known.push(tree);
}

function isAbsent({ status }: Asked): boolean {
  return status !== undefined && ABSENT.has(status);
}

function rowOf(job: Job, asked: Asked, wanted: number, isOptional: boolean): FillRow {
  const absent = isOptional && isAbsent(asked);
  const outcome = absent ? 'absent' : asked.problem === undefined ? asked.outcome : 'failed';
  const problem = absent ? undefined : asked.problem;
  return { ...job, outcome, size: asked.size, wanted, ...(problem !== undefined && { problem }) };
}
