import type { ComponentKind } from '../component.ts';
import { checkCluster } from './check-cluster.ts';
import { checkName, checkRules, namesIn } from './check-rules.ts';
import type { ComponentTypes } from './component-schema.ts';
import type { ComponentSection } from './config.ts';
import { SECTION_OF } from './config.ts';
import type { ConfigIssue } from './config-error.ts';
import type { ConfigTree } from './config-tree.ts';
import { keyOf } from './config-tree.ts';
import type { IssueExplainer } from './explain-issue.ts';
import type { PathPart } from './json-schema.ts';
import { isMapping, valueAt } from './json-schema.ts';
import { COMMON_RULE_KEYS } from './rule-schema.ts';

/** One component's mention of another. */
interface Reference {
  readonly from: string;
  readonly to: string;
  /** Where the name is written. */
  readonly path: readonly PathPart[];
}

const KINDS: readonly Exclude<ComponentKind, 'protocol'>[] = ['backend', 'fetcher', 'stasher'];

/** What no section can tell by itself. Sections whose own form is wrong are left out. */
export function checkConfig(
  tree: ConfigTree,
  types: ComponentTypes,
  explainer: IssueExplainer,
): readonly ConfigIssue[] {
  const references = referencesIn(tree, types);
  return [
    ...checkRules(tree, explainer),
    ...[...references, ...ruleReferencesIn(tree, types)].flatMap(({ to, path }) => {
      const [section = '', name = ''] = to.split('.');
      const what = wordFor(section);
      return checkName(name, namesIn(tree, section), what, (...texts) =>
        explainer.issueAt(path, ...texts),
      );
    }),
    ...circlesIn(references).map((circle) => {
      const first = circle[0];
      const chain = [first?.from, ...circle.map((reference) => reference.to)].join(' → ');
      return explainer.issueAt(first?.path ?? [], 'components without a circle', chain);
    }),
    ...checkCluster(tree, explainer),
  ];
}

function referencesIn(tree: ConfigTree, types: ComponentTypes): readonly Reference[] {
  return KINDS.flatMap((kind) => {
    const section = SECTION_OF[kind];
    return (namesIn(tree, section) ?? []).flatMap((name) => {
      const component = valueAt(tree.root, [section, name]);
      if (!isMapping(component)) return [];
      const { type: typeName, ...input } = component;
      const type = types.find((known) => known.kind === kind && known.type === typeName);
      const parsed = type?.options.safeParse(input);
      if (type?.references === undefined || parsed?.success !== true) return [];
      return type.references(parsed.data).flatMap((target): readonly Reference[] => {
        if (target.kind === 'protocol') return [];
        const path = [section, name, ...(pathTo(input, target.name) ?? [])];
        return [
          { from: keyOf([section, name]), to: `${SECTION_OF[target.kind]}.${target.name}`, path },
        ];
      });
    });
  });
}

// What a protocol's own keys name; nothing refers to a rule, so these make no circle.
function ruleReferencesIn(tree: ConfigTree, types: ComponentTypes): readonly Reference[] {
  const rules = valueAt(tree.root, ['rules']);
  if (!Array.isArray(rules)) return [];
  return rules.flatMap((rule: unknown, index): readonly Reference[] => {
    if (!isMapping(rule)) return [];
    const type = types.find(
      ({ kind, type: name }) => kind === 'protocol' && name === rule['protocol'],
    );
    const own = Object.entries(rule).filter(
      ([key]) => key !== 'protocol' && !COMMON_RULE_KEYS.includes(key),
    );
    const input = Object.fromEntries(own);
    const parsed = type?.options.safeParse(input);
    if (type?.references === undefined || parsed?.success !== true) return [];
    return type.references(parsed.data).flatMap((target): readonly Reference[] => {
      if (target.kind === 'protocol') return [];
      const path = ['rules', index, ...(pathTo(input, target.name) ?? [])];
      return [{ from: `rules.${index}`, to: `${SECTION_OF[target.kind]}.${target.name}`, path }];
    });
  });
}

/** Circles among references, each once, from where it is first met. */
function circlesIn(references: readonly Reference[]): readonly (readonly Reference[])[] {
  const done = new Set<string>();
  const circles: (readonly Reference[])[] = [];
  const visit = (name: string, way: readonly Reference[]): void => {
    const start = way.findIndex((reference) => reference.from === name);
    if (start >= 0) {
      circles.push(way.slice(start));
      return;
    }
    if (done.has(name)) return;
    for (const reference of references) {
      if (reference.from === name) visit(reference.to, [...way, reference]);
    }
    done.add(name);
  };
  for (const { from } of references) visit(from, []);
  return circles;
}

function pathTo(value: unknown, name: string): PathPart[] | undefined {
  if (value === name) return [];
  const entries: [PathPart, unknown][] = Array.isArray(value)
    ? value.map((item, index) => [index, item])
    : isMapping(value)
      ? Object.entries(value)
      : [];
  for (const [part, inside] of entries) {
    const path = pathTo(inside, name);
    if (path !== undefined) return [part, ...path];
  }
  return undefined;
}

function wordFor(section: string): string {
  const words: Readonly<Record<ComponentSection, string>> = {
    storage: 'backend',
    fetchers: 'fetcher',
    stashers: 'stasher',
  };
  return words[section as ComponentSection];
}
