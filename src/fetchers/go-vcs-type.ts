import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { getCACertificates } from 'node:tls';
import { z } from 'zod';
import { type ComponentContext, type ComponentType, componentType } from '../component.ts';
import { messageOf } from '../errors.ts';
import { checkModulePath } from '../gomod/module-path.ts';
import { parseModulePatterns } from '../gomod/module-pattern.ts';
import { processIdentity } from '../process-identity.ts';
import { duration, secret } from '../values.ts';
import { FETCH_LIMIT, FetchLimit } from './fetch-limit.ts';
import { readCa } from './fetcher-options.ts';
import { netrcFault, type VcsCredential } from './go-vcs-credentials.ts';
import { GoVcsFetcher } from './go-vcs-fetcher.ts';
import { GoImports } from './go-vcs-imports.ts';
import { removeLeftovers } from './go-vcs-leftovers.ts';

const path = (about: string): z.ZodString => z.string().min(1).describe(about);

const netrcWord = z.string().superRefine((word, context) => {
  const why = netrcFault(word);
  if (why !== undefined) context.addIssue({ code: 'custom', message: why });
});

const pattern = z.string().superRefine((globs, context) => {
  try {
    if (globs.trim() !== '' && parseModulePatterns(globs)) return;
    context.addIssue({ code: 'custom', message: 'expected a pattern such as corp.example.com/*' });
  } catch (error) {
    context.addIssue({ code: 'custom', message: messageOf(error) });
  }
});

const prefix = z.string().superRefine((text, context) => {
  const why = checkModulePath(text);
  if (why !== undefined) context.addIssue({ code: 'custom', message: why });
});

const EXPECTED_URL =
  'expected an https://, http:// or ssh:// address such as ssh://git@git.example.com/team/mod.git, without a password';

const repositoryUrl = z.string().transform((text, context): URL => {
  const url = URL.parse(text);
  const plain = url !== null && `${url.password}${url.search}${url.hash}` === '';
  const known = url !== null && /^(?:https?|ssh):$/.test(url.protocol) && url.hostname !== '';
  if (plain && known && (url.protocol === 'ssh:' || url.username === '')) return url;
  context.issues.push({ code: 'custom', message: EXPECTED_URL, input: text });
  return z.NEVER;
});

const credential = z
  .strictObject({
    match: pattern.describe('modules that it is for, as in GOPRIVATE; the first match wins'),
    netrc: z.strictObject({ file: path('a netrc file, used whole') }).optional(),
    token: z
      .strictObject({
        user: netrcWord.describe('what the server wants beside the secret'),
        secret: secret(),
        host: netrcWord
          .optional()
          .describe('the only host that it is sent to; absent: that of the repository'),
      })
      .optional(),
    sshKey: z
      .strictObject({
        file: path('private key without a passphrase'),
        knownHosts: path('host keys that are trusted, as in ~/.ssh/known_hosts'),
      })
      .optional(),
  })
  .refine(
    ({ netrc, token, sshKey }) =>
      [netrc, token, sshKey].filter((one) => one !== undefined).length === 1,
    { error: 'expected exactly one of netrc, token and sshKey' },
  )
  .refine(
    ({ match, token }) => token === undefined || token.host !== undefined || isOfHosts(match),
    {
      path: ['token', 'host'],
      error: 'expected the host that the token is for: the pattern fits modules of any host',
    },
  );

// Clients choose the module, so a token for whatever host it names would go to a host of theirs.
function isOfHosts(patterns: string): boolean {
  const hosts = patterns.split(',').map((glob) => glob.trim().split('/', 1)[0] ?? '');
  return hosts.every((host) => host === '' || !/[*?[\\]/.test(host.split('.').slice(-2).join('.')));
}

const goVcsOptions = z.strictObject({
  go: z.string().min(1).default('go').describe('the go command: a name on PATH or a path'),
  concurrent: z.int().min(1).default(4).describe('go commands at once; more wait'),
  timeout: duration().prefault('5m').describe('longest time of one go command'),
  linger: duration().prefault('10s').describe('how long a clone is kept after its last use'),
  ca: path('PEM file of authorities trusted besides those of the system').optional(),
  repositories: z
    .array(z.strictObject({ prefix, url: repositoryUrl }))
    .optional()
    .describe('where modules come from whose host is not to be asked for it'),
  credentials: z.array(credential).optional(),
});

type GoVcsTypeOptions = z.output<typeof goVcsOptions>;

/** `type: go-vcs`: modules from git, by the go and git commands of this machine. */
export const goVcsType: ComponentType<unknown, GoVcsFetcher> = componentType({
  kind: 'fetcher',
  type: 'go-vcs',
  options: goVcsOptions,
  create: async (options: GoVcsTypeOptions, context: ComponentContext): Promise<GoVcsFetcher> => {
    const { name, clock, metrics, baseDir } = context;
    const root = join(context.dataDir, 'go-vcs');
    const left = await removeLeftovers(root);
    if (left > 0) metrics.count('recovered_total', 'go-vcs', left);
    // Another one of that name may be closing while this one begins.
    const folder = join(root, processIdentity(), `${name}-${randomBytes(4).toString('hex')}`);
    const { timeout, concurrent } = options;
    const repositories = options.repositories ?? [];
    // Jobs run elsewhere, so a path must not depend on where.
    const go = options.go.includes('/') ? resolve(baseDir, options.go) : options.go;
    await noteMissing(go, context);
    const slots = new FetchLimit({ concurrent, waitMs: timeout, clock, metrics });
    return new GoVcsFetcher({
      name,
      clock,
      metrics,
      folder,
      repositories,
      go,
      lingerMs: options.linger,
      credentials: (options.credentials ?? []).map(toCredential),
      slots: [slots, context.service(FETCH_LIMIT)],
      around: {
        env: { ...process.env },
        baseDir,
        ca: await layCa(options.ca, baseDir, folder),
        timeoutMs: timeout,
        imports: new GoImports(repositories),
      },
    });
  },
});

function toCredential({
  match,
  netrc,
  ...more
}: NonNullable<GoVcsTypeOptions['credentials']>[number]): VcsCredential {
  return { matches: parseModulePatterns(match), netrc: netrc?.file, ...more };
}

/** git and the go command know one file of authorities alone: the system's own go into it too. */
async function layCa(
  ca: string | undefined,
  baseDir: string,
  folder: string,
): Promise<string | undefined> {
  const text = await readCa(ca, baseDir);
  if (text === undefined) return undefined;
  const file = join(folder, 'ca.pem');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(file, [text, ...getCACertificates('system')].join('\n'));
  return file;
}

/** A node without them serves everything else; the first request that needs them says so too. */
async function noteMissing(go: string, { log }: ComponentContext): Promise<void> {
  for (const program of [go, 'git']) {
    if (await isProgram(program)) continue;
    log.warn({ program }, `modules from git need the ${program} command: install it`);
  }
}

async function isProgram(program: string): Promise<boolean> {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const places = program.includes('/') ? [program] : folders.map((folder) => join(folder, program));
  for (const place of places) {
    const found = await access(place, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return true;
  }
  return false;
}
