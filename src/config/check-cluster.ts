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
    ...checkRoles(tree, explainer),
  ];
}

function mayWrite(tree: ConfigTree): boolean {
  const roles = valueAt(tree.root, ['roles']);
  return !Array.isArray(roles) || roles.length === 0 || roles.includes('writer');
}

/** A node that may not write needs one that does. */
function checkRoles(tree: ConfigTree, explainer: IssueExplainer): readonly ConfigIssue[] {
  const at = (...path: string[]): unknown => valueAt(tree.root, path);
  if (mayWrite(tree)) return [];
  const lock = at('manifest', 'lock', 'type');
  // What that needs is said where it stands.
  if (lock === 'peer') return [];
  if (lock !== undefined && lock !== 'auto') {
    const expected = 'peer, or no such key, as roles has no writer';
    return [explainer.issueAt(['manifest', 'lock', 'type'], expected)];
  }
  const missing = ['cluster.primary', 'cluster.token'].filter(
    (key) => at(...key.split('.')) === undefined,
  );
  if ((at('manifest', 'replication') ?? 'none') === 'none') missing.push('manifest.replication');
  if (missing.length === 0) return [];
  const expected =
    'writer among them, or a primary that changes are handed to: cluster.primary, cluster.token and manifest.replication (journal or litefs)';
  return [explainer.issueAt(['roles'], expected, `no ${missing.join(', no ')}`)];
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
  if (/litefs$/.test(String(lock)) && at('manifest', 'journal') === 'wal') {
    const expected = `auto or delete with lock ${lock}, as WAL can lose what was written there`;
    issues.push(explainer.issueAt(['manifest', 'journal'], expected));
  }
  const replication = at('manifest', 'replication') ?? 'none';
  const isLed = replication === 'journal' && at('cluster', 'primary') !== undefined;
  const isShippedByRole = lock === undefined && !mayWrite(tree);
  if (isLed && (lock ?? 'local') !== 'peer' && lock !== 'auto' && !isShippedByRole) {
    const expected = 'peer or auto, as cluster.primary names the node that writes the manifest';
    issues.push(explainer.issueAt(['manifest', 'lock', 'type'], expected, String(lock ?? 'local')));
  }
  if (lock === 'peer-litefs') {
    const missing = [
      ...((at('cluster', 'nodes') ?? at('cluster', 'dns')) ? [] : ['cluster.nodes or cluster.dns']),
      ...(at('cluster', 'token') === undefined ? ['cluster.token'] : []),
    ];
    const expected =
      'litefs, or a cluster whose nodes know each other: cluster.nodes or cluster.dns, and cluster.token';
    if (missing.length > 0)
      issues.push(
        explainer.issueAt(['manifest', 'lock', 'type'], expected, `no ${missing.join(', no ')}`),
      );
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
