import type { ConfigIssue } from './config-error.ts';
import type { ConfigTree } from './config-tree.ts';
import type { IssueExplainer } from './explain-issue.ts';
import { isMapping, valueAt } from './json-schema.ts';

/** What the keys about listeners and other nodes demand of each other. */
export function checkCluster(tree: ConfigTree, explainer: IssueExplainer): readonly ConfigIssue[] {
  return [
    ...checkListeners(tree, explainer),
    ...checkNodes(tree, explainer),
    ...checkManifest(tree, explainer),
  ];
}

function checkListeners(tree: ConfigTree, explainer: IssueExplainer): readonly ConfigIssue[] {
  const issues: ConfigIssue[] = [];
  const listen = valueAt(tree.root, ['listen', 'peer']);
  const peer = isMapping(listen) ? listen['address'] : listen;
  if (typeof peer !== 'string') return issues;
  const tokens = valueAt(tree.root, ['cluster', 'tokens']);
  if (!Array.isArray(tokens) || tokens.length === 0) {
    const expected =
      'cluster.tokens with one { name: NODE, file: PATH } for each node that may ask this listener';
    issues.push(explainer.issueAt(['listen', 'peer'], expected, 'no token'));
  }
  if (!peer.endsWith(':0') && peer === valueAt(tree.root, ['listen', 'public']))
    issues.push(explainer.issueAt(['listen', 'peer'], 'another address than listen.public'));
  return issues;
}

function checkNodes(tree: ConfigTree, explainer: IssueExplainer): readonly ConfigIssue[] {
  const at = (key: string): unknown => valueAt(tree.root, ['cluster', key]);
  const named = ['nodes', 'dns'].filter((key) => at(key) !== undefined);
  const [first, second] = named;
  if (first === undefined) return [];
  const issues: ConfigIssue[] = [];
  if (second !== undefined) {
    const expected = 'either cluster.nodes or cluster.dns, not both';
    issues.push(explainer.issueAt(['cluster', second], expected, 'both'));
  }
  if (at('token') === undefined) {
    const expected = 'cluster.token: { file: PATH } with what this node shows to the others';
    issues.push(explainer.issueAt(['cluster', first], expected, 'no token'));
  }
  return issues;
}

function checkManifest(tree: ConfigTree, explainer: IssueExplainer): readonly ConfigIssue[] {
  const at = (...path: string[]): unknown => valueAt(tree.root, path);
  const issues: ConfigIssue[] = [];
  const lock = at('manifest', 'lock', 'type');
  if (lock === 'litefs' && at('manifest', 'journal') === 'wal') {
    const expected = 'auto or delete with lock litefs, as WAL can lose what was written there';
    issues.push(explainer.issueAt(['manifest', 'journal'], expected));
  }
  const replication = at('manifest', 'replication') ?? 'none';
  const isLed = replication === 'journal' && at('cluster', 'primary') !== undefined;
  if (isLed && (lock ?? 'local') !== 'peer' && lock !== 'auto') {
    const expected = 'peer or auto, as cluster.primary names the node that writes the manifest';
    issues.push(explainer.issueAt(['manifest', 'lock', 'type'], expected, String(lock ?? 'local')));
  }
  const isShipped = lock === 'peer' || (lock === 'auto' && isLed);
  if (!isShipped) return issues;
  if (replication === 'none') {
    const expected =
      'manifest.replication: journal or litefs, which bring the rows that the primary writes';
    issues.push(explainer.issueAt(['manifest', 'lock', 'type'], expected, 'replication: none'));
  }
  if (at('cluster', 'primary') === undefined) {
    const expected = "cluster.primary with the address of the primary's peer listener";
    issues.push(explainer.issueAt(['manifest', 'lock', 'type'], expected, 'no primary'));
  }
  if (at('cluster', 'token') === undefined) {
    const expected = 'cluster.token: { file: PATH } with what this node shows to the primary';
    issues.push(explainer.issueAt(['manifest', 'lock', 'type'], expected, 'no token'));
  }
  return issues;
}
