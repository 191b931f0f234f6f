import { ProxyError } from '../errors.ts';
import { type GoModFile, isPruned, type ModuleVersion, type Replacement } from './go-mod-file.ts';
import { compareVersions } from './version.ts';

/** What the main module says about its graph. */
export interface GraphOptions {
  /** True: its go.mod file names all that its packages need (go 1.17 and newer). */
  readonly pruned: boolean;
  readonly replaces: readonly Replacement[];
  readonly excludes: readonly ModuleVersion[];
}

/** How far requirements of a module are followed: not at all, one step unless its own file is from before pruning, or all the way. */
type Depth = 0 | 1 | 2;

interface Node {
  depth: Depth;
  /** Absent: not read so far. */
  file: Pick<GoModFile, 'go' | 'requires'> | undefined;
}

/** More versions than any build has; a graph that goes on is a fault or an attack. */
const MAX_VERSIONS = 50_000;

/**
 * The module graph as the go command loads it (https://go.dev/ref/mod#graph-pruning), grown file by file: what it gives out
 * is to be read and handed back. Each version comes once; replaced ones as what replaces them, folders not at all.
 */
export class ModuleGraph {
  readonly #options: GraphOptions;
  readonly #nodes = new Map<string, Node>();
  readonly #highest = new Map<string, string>();
  readonly #excluded: ReadonlySet<string>;

  constructor(options: GraphOptions) {
    this.#options = options;
    this.#excluded = new Set(options.excludes.map(nameOf));
  }

  /** Adds requirements of the main module. Gives what is to be read for them. Throws `too-large`. */
  addRoots(roots: readonly ModuleVersion[]): readonly ModuleVersion[] {
    const reached: ModuleVersion[] = [];
    for (const root of roots) this.#visit(root, this.#options.pruned ? 1 : 2, reached);
    return reached;
  }

  /** Takes the file of a version that was given out. Gives what is to be read next. Throws `too-large`. */
  read(version: ModuleVersion, file: Pick<GoModFile, 'go' | 'requires'>): readonly ModuleVersion[] {
    const node = this.#nodes.get(nameOf(version));
    if (node === undefined || node.file !== undefined) return [];
    node.file = file;
    const reached: ModuleVersion[] = [];
    this.#expand(node, reached);
    return reached;
  }

  /** What is built of each module: the highest version that anything requires, or what replaces it. */
  selected(): readonly ModuleVersion[] {
    return [...this.#highest].flatMap(([module, version]) => {
      const found = this.replaced({ module, version });
      return found === undefined ? [] : [found];
    });
  }

  /** The module that is read for a requirement. Absent: a folder, or it is excluded. */
  replaced(wanted: ModuleVersion): ModuleVersion | undefined {
    if (this.#excluded.has(nameOf(wanted))) return undefined;
    const { module, version } = wanted;
    const of = this.#options.replaces.filter((replace) => replace.module === module);
    const found =
      of.find((replace) => replace.version === version) ??
      of.find((replace) => replace.version === undefined);
    if (found === undefined) return wanted;
    return 'folder' in found.by ? undefined : found.by;
  }

  /** True: only named at the edge of the graph, so that the go command never reads it. */
  isEdge(version: ModuleVersion): boolean {
    return this.#nodes.get(nameOf(version))?.depth === 0;
  }

  #visit(wanted: ModuleVersion, depth: Depth, reached: ModuleVersion[]): void {
    if (this.#excluded.has(nameOf(wanted))) return;
    const { module, version } = wanted;
    const highest = this.#highest.get(module);
    if (highest === undefined || compareVersions(version, highest) > 0)
      this.#highest.set(module, version);
    const found = this.replaced(wanted);
    if (found === undefined) return;
    const name = nameOf(found);
    const node = this.#nodes.get(name);
    if (node === undefined) {
      if (this.#nodes.size === MAX_VERSIONS)
        throw new ProxyError(
          'too-large',
          'module-graph.visit',
          `the module graph has more than ${MAX_VERSIONS} versions`,
        );
      this.#nodes.set(name, { depth, file: undefined });
      reached.push(found);
    } else if (node.depth < depth) {
      node.depth = depth;
      this.#expand(node, reached);
    }
  }

  #expand({ depth, file }: Node, reached: ModuleVersion[]): void {
    if (file === undefined || depth === 0) return;
    const next: Depth = depth === 2 || !isPruned(file) ? 2 : 0;
    for (const wanted of file.requires) this.#visit(wanted, next, reached);
  }
}

function nameOf({ module, version }: ModuleVersion): string {
  return `${module}@${version}`;
}
