import { maskText } from './mask-config.ts';

/** Where the clients of this machine say what they use. */
export interface ClientSettings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What `go env` says, by name. Gives undefined when there is no go command. */
  readonly runGoEnv: () => Promise<Readonly<Record<string, string>> | undefined>;
  /** Address that the node is to listen on, `host:port`. Absent: `127.0.0.1:8080`. */
  readonly listen?: string | undefined;
}

/** One line that points a client at the node, and what it does. */
export interface ClientHint {
  readonly about: string;
  readonly command: string;
}

/** A first configuration and how to use it. */
export interface InitialConfig {
  /** Commented YAML that `loadConfig` takes as it is. */
  readonly yaml: string;
  readonly hints: readonly ClientHint[];
}

const DEFAULT_LISTEN = '127.0.0.1:8080';
const PROXY_VARIABLES = [
  'HTTPS_PROXY',
  'https_proxy',
  'HTTP_PROXY',
  'http_proxy',
  'NO_PROXY',
  'no_proxy',
];

/** Reads the clients' own settings and writes a configuration that serves them. Writes no file. */
export async function initConfig(settings: ClientSettings): Promise<InitialConfig> {
  const listen = settings.listen ?? DEFAULT_LISTEN;
  const go = await settings.runGoEnv();
  const base = `http://${listen}`;
  const yaml = `# Configuration of a caje node. Check it with: caje config check
# Every key and its default: caje config print --defaults

listen: { public: ${JSON.stringify(listen)} }

# Manifest, bodies and spool lie below this folder.
data: ./data

fetchers:
${goFetcher(go, base)}
  # A built-in origin that answers slowly, to see what keeping is good for.
  # For a site of your own: { type: origin, url: "http://127.0.0.1:3000" }
  site: { type: slow-server }
${proxyComment(settings.env)}
# The first rule that fits a request takes it. What is fetched is kept in data/blobs.
rules:
  - { name: go, path: /go/*, strip: true, protocol: go, fetch: modules, network: fallback }
  - { name: site, path: /*, protocol: http, fetch: site }
`;
  return { yaml, hints: hintsFor(base) };
}

function goFetcher(go: Readonly<Record<string, string>> | undefined, base: string): string {
  const list = go?.['GOPROXY'] ?? '';
  const lines = [
    'Where Go modules come from: the list that `go env GOPROXY` says when the node starts.',
  ];
  if (go === undefined) {
    lines.push(
      'There is no go command on this machine now; without one name the list here instead.',
    );
  } else if (list === '' || list === 'off' || list === 'direct') {
    lines.push(
      `It names no upstream now (${JSON.stringify(list)}): the rule is off until it does.`,
    );
  } else if (list.includes(base)) {
    lines.push(
      'It names this node now, which cannot be its own upstream: write another list here.',
    );
  } else {
    lines.push(
      'Before `go env -w GOPROXY` points at this node, write the list of today here instead:',
    );
    lines.push(`  list: ${JSON.stringify(oneLine(maskText(list)))}`);
  }
  const database = go?.['GOSUMDB'] ?? '';
  if (database === 'off') lines.push('GOSUMDB is off: the go command does not check what it gets.');
  else if (database !== '')
    lines.push(`The checksum database (${oneLine(database)}) is asked through it, too.`);
  const comment = lines.map((line) => `  # ${line}`).join('\n');
  return `${comment}\n  modules: { type: upstreams, list: go-env }`;
}

function proxyComment(env: ClientSettings['env']): string {
  const set = PROXY_VARIABLES.filter((name) => (env[name] ?? '') !== '');
  if (set.length === 0) return '';
  const values = set.map((name) => `${name}=${oneLine(maskText(env[name] ?? ''))}`).join(', ');
  return `
# Fetchers go through the proxy that the environment names (${values}).
`;
}

function hintsFor(base: string): readonly ClientHint[] {
  const proxy = `${base}/go`;
  return [
    { about: 'one go command through the node', command: `GOPROXY=${proxy} go mod download` },
    {
      about: 'each go command from now on, once `list:` names the upstreams',
      command: `go env -w GOPROXY=${proxy}`,
    },
    { about: 'the site, twice: X-Cache says MISS, then HIT', command: `curl -i ${base}/fast` },
  ];
}

function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ');
}
