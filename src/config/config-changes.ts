import { isDeepStrictEqual } from 'node:util';
import type { Config } from './config.ts';
import { isMapping } from './json-schema.ts';

/** What a running node takes from a changed file: whole sections, and keys of others. */
const RELOADABLE: readonly string[] = [
  'rules',
  'fetchers',
  'stashers',
  'trustedProxies',
  'drain',
  'log.level',
  'cluster.tokens',
];

/** Keys that differ between two configurations, sorted; never a value, which may be a secret. */
export interface ConfigChanges {
  /** What a reload brings into force: `rules.site.freshness`, `fetchers.site`. */
  readonly changed: readonly string[];
  /** What keeps its old value until the node is started again. */
  readonly restart: readonly string[];
}

type Tree = Readonly<Record<string, unknown>>;

/** Compares what is in force with what was loaded, both as `LoadedConfig.effective` has them. */
export function configChanges(running: Tree, loaded: Tree): ConfigChanges {
  const keys = [...differences(running, loaded, '')].sort();
  return {
    changed: keys.filter(isReloadable),
    restart: keys.filter((key) => !isReloadable(key)),
  };
}

/** What is in force after a reload: what can change as `loaded` has it, the rest as before. */
export function reloadedConfig(running: Config, loaded: Config): Config {
  const { source, baseDir, rules, fetchers, stashers, trustedProxies, drain } = loaded;
  return {
    ...{ ...running, source, baseDir, rules, fetchers, stashers, trustedProxies, drain },
    log: { ...running.log, level: loaded.log.level },
    cluster: { ...running.cluster, tokens: loaded.cluster.tokens },
  };
}

/** The same for what was written. */
export function reloadedTree(running: Tree, loaded: Tree): Tree {
  const tree: Record<string, unknown> = { ...running };
  for (const path of RELOADABLE) {
    const [section = '', key] = path.split('.');
    const from = loaded[section];
    if (key === undefined) tree[section] = from;
    else if (isMapping(from)) tree[section] = { ...mappingOf(tree[section]), [key]: from[key] };
  }
  return tree;
}

function isReloadable(key: string): boolean {
  return RELOADABLE.some((path) => key === path || key.startsWith(`${path}.`));
}

function* differences(before: unknown, after: unknown, path: string): Generator<string> {
  if (isDeepStrictEqual(before, after)) return;
  if (path === 'rules' && Array.isArray(before) && Array.isArray(after)) {
    yield* ruleDifferences(before, after);
    return;
  }
  if (!isMapping(before) || !isMapping(after)) {
    yield path;
    return;
  }
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)]))
    yield* differences(before[key], after[key], path === '' ? key : `${path}.${key}`);
}

// Rules have an order, but people know them by name.
function* ruleDifferences(
  before: readonly unknown[],
  after: readonly unknown[],
): Generator<string> {
  const [old, now] = [byName(before), byName(after)];
  for (const name of new Set([...old.keys(), ...now.keys()]))
    yield* differences(old.get(name), now.get(name), `rules.${name}`);
  const common = (one: ReadonlyMap<string, unknown>, other: ReadonlyMap<string, unknown>): string =>
    [...one.keys()].filter((name) => other.has(name)).join('\n');
  if (common(old, now) !== common(now, old)) yield 'rules';
}

function byName(rules: readonly unknown[]): ReadonlyMap<string, unknown> {
  return new Map(rules.map((rule) => [String(mappingOf(rule)['name']), rule]));
}

function mappingOf(value: unknown): Tree {
  return isMapping(value) ? value : {};
}
