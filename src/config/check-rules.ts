import type { ConfigIssue } from './config-error.ts';
import type { ConfigTree } from './config-tree.ts';
import type { IssueExplainer } from './explain-issue.ts';
import { isMapping, valueAt } from './json-schema.ts';
import { hostCovers, hostPattern, OWN_PATH, pathCovers, pathPattern } from './patterns.ts';
import { didYouMean, listNames } from './suggest.ts';

/** A rule as far as its own form is right. */
interface RuleForm {
  readonly index: number;
  readonly name: string;
  readonly host: string | undefined;
  readonly path: string;
}

/** What no rule can tell by itself: names that exist, rules that are reached. */
export function checkRules(tree: ConfigTree, explainer: IssueExplainer): readonly ConfigIssue[] {
  const rules = valueAt(tree.root, ['rules']);
  if (!Array.isArray(rules)) return [];
  return [
    ...rules.flatMap((rule, index) => checkRule(rule, index, tree, explainer)),
    ...checkOrder(rules.flatMap(formOf), explainer),
  ];
}

/** An issue for a name that no component has; nothing where it has one. */
export function checkName(
  name: unknown,
  known: readonly string[] | undefined,
  what: string,
  issue: (expected: string, found: string, hint: string) => ConfigIssue,
): readonly ConfigIssue[] {
  if (typeof name !== 'string' || name === '' || known === undefined) return [];
  if (known.includes(name)) return [];
  const expected =
    known.length === 0 ? `a ${what} to be defined` : `the ${what} ${listNames(known)}`;
  return [issue(expected, JSON.stringify(name), didYouMean(name, known))];
}

function checkRule(
  rule: unknown,
  index: number,
  tree: ConfigTree,
  explainer: IssueExplainer,
): readonly ConfigIssue[] {
  if (!isMapping(rule)) return [];
  const { fetch, stash, strip, path } = rule;
  const at = ['rules', index];
  const issues: ConfigIssue[] = [];
  const fetchers = namesIn(tree, 'fetchers');
  const names: readonly unknown[] = Array.isArray(fetch) ? fetch : [fetch];
  names.forEach((name, position) => {
    const place = [...at, 'fetch', ...(Array.isArray(fetch) ? [position] : [])];
    issues.push(
      ...checkName(name, fetchers, 'fetcher', (...texts) => explainer.issueAt(place, ...texts)),
    );
    if (typeof name === 'string' && names.indexOf(name) < position) {
      issues.push(explainer.issueAt(place, 'each fetcher once', `${JSON.stringify(name)} again`));
    }
  });
  issues.push(
    ...checkName(stash, namesIn(tree, 'stashers'), 'stasher', (...texts) =>
      explainer.issueAt([...at, 'stash'], ...texts),
    ),
  );
  if (strip === true && (typeof path !== 'string' || !path.endsWith('/*'))) {
    const expected = 'a path that ends in /*, whose prefix is cut off';
    const found = path === undefined ? 'a rule without path' : JSON.stringify(path);
    issues.push(explainer.issueAt([...at, 'strip'], expected, found));
  }
  if (typeof path === 'string' && `${path}/`.startsWith(OWN_PATH)) {
    const expected = `a path outside ${OWN_PATH}, which is the node's own`;
    issues.push(explainer.issueAt([...at, 'path'], expected, JSON.stringify(path)));
  }
  return issues;
}

function checkOrder(rules: readonly RuleForm[], explainer: IssueExplainer): readonly ConfigIssue[] {
  return rules.flatMap((rule, position) => {
    const before = rules.slice(0, position);
    const same = before.find((earlier) => earlier.name === rule.name);
    if (same !== undefined) {
      const found = `${JSON.stringify(rule.name)} again, which rules[${same.index}] has`;
      return [explainer.issueAt(['rules', rule.index, 'name'], 'a name of its own', found)];
    }
    const cover = before.find(
      (earlier) => hostCovers(earlier.host, rule.host) && pathCovers(earlier.path, rule.path),
    );
    if (cover === undefined) return [];
    const expected = `the rule ${JSON.stringify(rule.name)} before ${JSON.stringify(cover.name)}, which takes all of its requests`;
    const found = 'it after, where it is never reached';
    return [explainer.issueAt(['rules', rule.index], expected, found)];
  });
}

function formOf(rule: unknown, index: number): readonly RuleForm[] {
  if (!isMapping(rule)) return [];
  const host = hostPattern().optional().safeParse(rule['host']);
  const path = pathPattern().safeParse(rule['path'] ?? '/*');
  if (!host.success || !path.success || typeof rule['name'] !== 'string') return [];
  return [{ index, name: rule['name'], host: host.data, path: path.data }];
}

/** Names that a section defines. Absent: its own form is wrong, so that no name can be missed in it. */
export function namesIn(tree: ConfigTree, section: string): readonly string[] | undefined {
  const components = valueAt(tree.root, [section]);
  if (components === undefined) return [];
  return isMapping(components) ? Object.keys(components) : undefined;
}
