import type { Config } from '../config/config.ts';
import type { RunningNode } from '../main.ts';
import type { BuiltRule } from '../rule-set.ts';
import { strong } from './terminal.ts';

/** What a person sees when the node is up: what is served where, where the data lies, what to try next. */
export function banner(node: RunningNode, config: Config, version: string): string {
  const lines = [
    `${strong(`caje ${version}`)} listens on ${node.publicUrl} (configuration: ${config.source})`,
    ...(node.peerUrl === undefined ? [] : [`peers ask ${node.peerUrl}`]),
    '',
    ...node.rules.map((built) => `  ${ruleLine(built, node.publicUrl, config)}`),
    '',
    `data lies in ${node.dataDir}`,
    ...config.notes.map((note) => `note: ${note}`),
    '',
    'try:',
    ...tries(node).map((line) => `  ${line}`),
  ];
  return lines.join('\n');
}

function ruleLine(
  { config: rule, off, sources }: BuiltRule,
  publicUrl: string,
  config: Config,
): string {
  const where = `${rule.host ?? ''}${rule.path}`;
  const place = rule.host === undefined ? `${publicUrl}${rule.path}` : where;
  if (off !== undefined) return `${rule.name}: off, because ${off}`;
  const backend = config.stashers.get(rule.stash)?.options as { backend?: string } | undefined;
  const kept = backend?.backend === undefined ? 'not kept' : `kept in ${backend.backend}`;
  return `${rule.name}: ${place} → ${rule.protocol} from ${sources.join(', ')}, ${kept}`;
}

function tries({ rules, publicUrl, dataDir: _ }: RunningNode): string[] {
  const on = rules.filter(({ rule }) => rule !== undefined);
  const lines: string[] = [];
  const site = on.find(({ config }) => config.protocol === 'http');
  if (site) {
    const path = site.config.path.replace(/\*$/, '');
    const demo = site.config.name === 'demo' ? `${path}fast` : path;
    const host =
      site.config.host === undefined ? '' : ` -H 'Host: ${site.config.host.replace('*', 'www')}'`;
    lines.push(`curl -i${host} ${publicUrl}${demo}     # twice: MISS, then HIT`);
  }
  const go = on.find(({ config }) => config.protocol === 'go' && config.host === undefined);
  if (go) {
    const base = go.config.path.replace(/\/\*$/, '');
    lines.push(`GOPROXY=${publicUrl}${base} go install golang.org/x/tools/cmd/stringer@v0.30.0`);
  }
  lines.push('caje ls     # what is kept');
  return lines;
}
