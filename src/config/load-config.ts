import { readFile } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import { codeOf, messageOf } from '../errors.ts';
import { checkConfig } from './check-config.ts';
import type { ComponentTypes } from './component-schema.ts';
import type { Config, ConfigSections } from './config.ts';
import type { ConfigIssue } from './config-error.ts';
import { ConfigError } from './config-error.ts';
import { configJsonSchema, configSchema } from './config-schema.ts';
import type { ConfigTree } from './config-tree.ts';
import { DEFAULT_COMPONENTS, DEFAULT_SOURCE, defaultConfig } from './default-config.ts';
import { applyOverrides, coerceTexts } from './env-overrides.ts';
import { IssueExplainer } from './explain-issue.ts';
import type { JsonSchema } from './json-schema.ts';
import { isMapping, valueAt, withDefaults } from './json-schema.ts';
import { parseYaml } from './parse-yaml.ts';

/** What loading a configuration needs. */
export interface LoadOptions {
  /** From `--config`. Absent: `CAJE_CONFIG`, else `caje.yaml` in `cwd`, else the built-in default. */
  readonly file?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Built-in types. */
  readonly types: ComponentTypes;
  /** Folder that the file's name, and without a file every relative path, starts from. */
  readonly cwd: string;
  /** Imports plug-ins by absolute path and gives the types they bind. Absent: a file with plug-ins is refused. */
  readonly loadPlugins?: ((paths: readonly string[]) => Promise<ComponentTypes>) | undefined;
}

/** A configuration ready for use, and as it was written. */
export interface LoadedConfig {
  readonly config: Config;
  /** Built-in types and those of plug-ins. */
  readonly types: ComponentTypes;
  /** Every key with its value or default, as it would be written in the file; secrets are in it. */
  readonly effective: Readonly<Record<string, unknown>>;
  readonly schema: JsonSchema;
}

interface Effective extends Readonly<Record<string, unknown>> {
  readonly manifest: { readonly lock: object };
}

interface Source {
  readonly name: string;
  readonly baseDir: string;
  readonly text: string;
}

/** Reads, fills in, overrides and checks a configuration. Throws `ConfigError` with everything that is wrong. */
export async function loadConfig(options: LoadOptions): Promise<LoadedConfig> {
  const { env } = options;
  const source = await readSource(options);
  const { tree, issues: formIssues } = parseYaml(source.text, source.name, env);
  if (formIssues.length > 0) throw new ConfigError(inOrder(formIssues));
  openEmptySections(tree);
  const { types, issues: pluginIssues } = await withPlugins(options, source, tree);
  addDefaultComponents(tree, types);
  const schema = configJsonSchema(types);
  const overrideIssues = applyOverrides(tree, schema, env);
  coerceTexts(tree, schema);
  const explainer = new IssueExplainer(tree, schema);
  const parsed = configSchema(types).safeParse(tree.root);
  const issues = [
    ...pluginIssues,
    ...overrideIssues,
    ...(parsed.error?.issues ?? []).flatMap((issue) => explainer.explain(issue)),
    ...checkConfig(tree, types, explainer),
  ];
  if (!parsed.success || issues.length > 0) throw new ConfigError(inOrder(unique(issues)));
  const { manifest, roles } = parsed.data;
  // Who may not write hands changes to who does.
  const type = roles.includes('writer') ? manifest.lock.type : 'peer';
  const sections = { ...parsed.data, manifest: { ...manifest, lock: { ...manifest.lock, type } } };
  const effective = withDefaults(schema, tree.root) as Effective;
  const lock = { ...effective.manifest.lock, type };
  return {
    config: resolveConfig(sections, source),
    types,
    effective: { ...effective, manifest: { ...effective.manifest, lock } },
    schema,
  };
}

async function readSource({ file, env, cwd }: LoadOptions): Promise<Source> {
  const fromEnv = env['CAJE_CONFIG'] === '' ? undefined : env['CAJE_CONFIG'];
  const asked = file ?? fromEnv;
  const path = resolve(cwd, asked ?? 'caje.yaml');
  const name = asked ?? (relative(cwd, path) || path);
  try {
    return { name, baseDir: dirname(path), text: await readFile(path, 'utf8') };
  } catch (error) {
    const code = codeOf(error) ?? 'unknown error';
    if (asked === undefined && code === 'ENOENT') {
      return { name: DEFAULT_SOURCE, baseDir: cwd, text: defaultConfig };
    }
    const expected = 'a file that can be read';
    throw new ConfigError([
      {
        file: name,
        key: '',
        expected,
        found: code,
        message: `expected ${expected}, found ${code}`,
      },
    ]);
  }
}

/** A section whose lines are all commented out is an empty one. */
function openEmptySections(tree: ConfigTree): void {
  for (const [key, value] of Object.entries(tree.root)) {
    if (value === null && key !== 'rules' && key !== 'data') delete tree.root[key];
  }
}

async function withPlugins(
  { types, env, loadPlugins }: LoadOptions,
  source: Source,
  tree: ConfigTree,
): Promise<{ readonly types: ComponentTypes; readonly issues: readonly ConfigIssue[] }> {
  const known = [...types];
  const issues: ConfigIssue[] = [];
  // Their variables have to be looked at early: the other keys need the types that they bring.
  const early = configJsonSchema([]);
  applyOverrides(tree, { properties: { plugins: early.properties?.['plugins'] ?? {} } }, env);
  const explainer = new IssueExplainer(tree, early);
  const paths: unknown = valueAt(tree.root, ['plugins']);
  for (const [index, path] of Array.isArray(paths) ? paths.entries() : []) {
    if (typeof path !== 'string' || path === '') continue;
    const refuse = (found: string): void => {
      issues.push(explainer.issueAt(['plugins', index], 'a module that exports a plugin', found));
    };
    try {
      if (loadPlugins === undefined) throw new Error('plug-ins cannot be loaded here');
      for (const type of await loadPlugins([resolve(source.baseDir, path)])) {
        const taken = known.some((other) => other.kind === type.kind && other.type === type.type);
        if (taken)
          refuse(`the ${type.kind} type ${JSON.stringify(type.type)}, which is there already`);
        else known.push(type);
      }
    } catch (error) {
      refuse(`${JSON.stringify(path)} (${firstLine(messageOf(error))})`);
    }
  }
  return { types: known, issues };
}

function addDefaultComponents(tree: ConfigTree, types: ComponentTypes): void {
  for (const [section, components] of Object.entries(DEFAULT_COMPONENTS)) {
    const present = tree.root[section] ?? {};
    if (!isMapping(present)) continue;
    const known = Object.entries(components).filter(([, component]) =>
      types.some((type) => type.type === (component as { type: string }).type),
    );
    tree.root[section] = { ...structuredClone(Object.fromEntries(known)), ...present };
  }
}

function resolveConfig(sections: ConfigSections, source: Source): Config {
  return {
    ...sections,
    data: resolve(source.baseDir, sections.data),
    plugins: sections.plugins.map((path) => resolve(source.baseDir, path)),
    source: source.name,
    baseDir: source.baseDir,
  };
}

function unique(issues: readonly ConfigIssue[]): readonly ConfigIssue[] {
  const seen = new Set<string>();
  return issues.filter((issue) => {
    const id = JSON.stringify([issue.file, issue.line, issue.key, issue.message]);
    return !seen.has(id) && seen.add(id);
  });
}

function inOrder(issues: readonly ConfigIssue[]): readonly ConfigIssue[] {
  return issues.toSorted((left, right) => (left.line ?? 0) - (right.line ?? 0));
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}
