import type { ComponentConfig, Config } from '../config/config.ts';
import { DEFAULT_SOURCE } from '../config/default-config.ts';
import { maskText } from '../config/mask-config.ts';
import type { RunningNode } from '../main.ts';
import type { BuiltRule } from '../rule-set.ts';
import { strong } from './terminal.ts';

/** What a person sees when the node is up: what is served where, where the data lies, what to try next. */
export function banner(node: RunningNode, config: Config, version: string): string {
  const notes = [
    ...node.rules.flatMap(({ config: { name }, notes }) => notes.map((note) => `${name}: ${note}`)),
  ];
  const does = node.publicUrl === undefined ? 'serves no clients' : `listens on ${node.publicUrl}`;
  const lines = [
    `${strong(`caje ${version}`)} ${does} (configuration: ${config.source})`,
    ...(isUsual(config) ? [] : [`roles: ${config.roles.join(', ')}`]),
    ...(node.peerUrl === undefined ? [] : [`peers ask ${node.peerUrl}`]),
    '',
    ...node.rules.map((built) => `  ${ruleLine(built, node.publicUrl, config)}`),
    '',
    `data lies in ${node.dataDir}`,
    ...notes.map((note) => `note: ${note}`),
    '',
    'try:',
    ...tries(node, config).map((line) => `  ${line}`),
  ];
  return lines.join('\n');
}

function isUsual({ roles }: Config): boolean {
  return roles.length === 2 && roles.includes('proxy') && roles.includes('writer');
}

function ruleLine(
  { config: rule, off, sources }: BuiltRule,
  publicUrl: string | undefined,
  config: Config,
): string {
  if (off !== undefined) return `${rule.name}: off, because ${off}`;
  const place =
    rule.host === undefined ? `${publicUrl ?? ''}${rule.path}` : `${rule.host}${rule.path}`;
  const from = sources.map((source) => describe(source, config.fetchers.get(source)));
  return `${rule.name}: ${place} → ${rule.protocol} from ${from.join(', ')}, ${kept(rule.stash, config)}`;
}

// An upstream's address is no fetcher's name and stands for itself.
function describe(name: string, fetcher: ComponentConfig | undefined): string {
  if (fetcher === undefined) return name;
  const { url, path } = fetcher.options as { readonly url?: unknown; readonly path?: unknown };
  const place = url ?? path ?? fetcher.type;
  return `${name} (${maskText(String(place))})`;
}

function kept(stasher: string, config: Config): string {
  const { backend } = (config.stashers.get(stasher)?.options ?? {}) as { backend?: string };
  const type = config.storage.get(backend ?? '')?.type;
  return type === undefined ? 'not kept' : `kept in ${backend} (${type})`;
}

function tries({ rules, publicUrl }: RunningNode, config: Config): string[] {
  const served = publicUrl === undefined ? [] : rules;
  const on = served.filter(({ rule }) => rule !== undefined).map((built) => built.config);
  const lines: string[] = [];
  const site = on.find(({ protocol }) => protocol === 'http');
  if (site) {
    const path = site.path.replace(/\*$/, '');
    const isDemo = site.fetch.some((name) => config.fetchers.get(name)?.type === 'slow-server');
    const host = site.host === undefined ? '' : ` -H 'Host: ${site.host.replace('*', 'www')}'`;
    lines.push(
      `curl -i${host} ${publicUrl}${path}${isDemo ? 'fast' : ''}     # twice: X-Cache says MISS, then HIT`,
    );
  }
  const go = on.find(({ protocol, host }) => protocol === 'go' && host === undefined);
  if (go) {
    const base = go.path.replace(/\/\*$/, '');
    lines.push(`GOPROXY=${publicUrl}${base} go install golang.org/x/tools/cmd/stringer@v0.30.0`);
  }
  const file = config.source === DEFAULT_SOURCE ? '' : ` --config ${config.source}`;
  lines.push(`caje ls${file}     # what is kept`);
  return lines;
}
