import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { GitServer } from '../support/git-server.ts';
import { processesOf, type VcsPlace, vcsPlace } from '../support/git-server-fetcher.ts';
import { commitTo, gitMissing } from '../support/git-server-repository.ts';
import { goMissing } from '../support/go-command.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { ask, failure, readText } from './requests.ts';

const HOST = 'corp.example.com';
const GIT_HOST = 'git.corp.example.com';
const MOD = `${HOST}/team/mod`;
const SECRET = 'between-git-and-us-0123456789';
const COMMANDS_MS = 30_000;

// B19: hosts by their names over https, and who is told which secret.
describe('trust of GoVcsFetcher', function () {
  this.timeout(COMMANDS_MS);

  let folder: TempFolder;
  let server: GitServer;
  let root: string;
  let made = 0;
  let place: VcsPlace | undefined;

  before(async function () {
    const missing = goMissing() ?? gitMissing() ?? opensslMissing();
    skipUnless(this, missing === undefined, missing ?? '');
    folder = await tempFolder();
    root = join(folder.path, 'root');
    commitTo(join(root, 'mod.git'), [
      { files: { 'go.mod': `module ${MOD}\n`, 'm.go': 'package mod\n' }, tags: ['v1.0.0'] },
    ]);
    server = await GitServer.start({ root, tls: certificate(folder.path) });
    await writeFile(join(folder.path, 'secret'), `${SECRET}\n`);
  });
  beforeEach(() => {
    server.reset();
    server.protected.clear();
    server.imports.clear();
    server.imports.set(MOD, `https://${GIT_HOST}/mod.git`);
  });
  afterEach(async () => {
    await place?.[Symbol.asyncDispose]();
    place = undefined;
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  /** A fetcher that reaches hosts through the server's own tunnels, and believes its certificate. */
  const start = async (
    options: object = {},
    env: Readonly<Record<string, string>> = {},
  ): Promise<VcsPlace> => {
    await place?.[Symbol.asyncDispose]();
    made += 1;
    place = await vcsPlace({
      dataDir: join(folder.path, `data ${made}`),
      options: { ca: join(folder.path, 'own.crt'), ...options },
      env: { HTTPS_PROXY: server.url, NO_PROXY: '', ...env },
    });
    return place;
  };
  const get = async (path: string): Promise<readonly [number, string]> => {
    if (place === undefined) throw new Error('nothing was started');
    return await readText(await place.fetcher.fetch(ask(path)));
  };
  const users = (): readonly string[] => [
    ...new Set(server.requests.map(({ host, user }) => `${user ?? 'nobody'} at ${host}`)),
  ];
  const token = { user: 'robot', secret: { file: join('..', 'secret') } };

  it('asks the host of a module where its repository is, over https', async () => {
    await start();
    expect(await get(`/${MOD}/@v/list`)).to.deep.equal([200, 'v1.0.0\n']);
    expect(server.requests[0]?.path).to.equal('/team/mod?go-get=1');
    expect(new Set(server.tunnels)).to.deep.equal(new Set([`${HOST}:443`, `${GIT_HOST}:443`]));
    const [status, text] = await get(`/${HOST}/team/none/@v/list`);
    expect(status).to.equal(404);
    expect(text).to.include('go-get=1: 404 Not Found');
  });

  it('B9: makes no second clone for the paths below a repository that it knows', async () => {
    await start();
    expect((await get(`/${MOD}/@v/v1.0.0.mod`))[0]).to.equal(200);
    const { clones } = server;
    expect((await get(`/${MOD}/a/b/@v/list`))[0]).to.equal(404);
    expect(server.clones).to.equal(clones);
  });

  it('does not believe a certificate that nobody it trusts has signed', async () => {
    await start({ ca: undefined });
    const { message } = await failure(get(`/${MOD}/@v/list`), 'upstream');
    expect(message).to.include('certificate');
  });

  it('asks the repository of a mapped module alone, through the forward proxy', async () => {
    server.imports.clear();
    const repositories = [{ prefix: MOD, url: `https://${GIT_HOST}/mod.git` }];
    await start({ repositories });
    expect(await get(`/${MOD}/@v/list`)).to.deep.equal([200, 'v1.0.0\n']);
    expect(new Set(server.tunnels)).to.deep.equal(new Set([`${GIT_HOST}:443`]));
    // With that host exempt from the proxy nothing answers here.
    server.reset();
    await start({ repositories, timeout: '5s' }, { NO_PROXY: `example.org, .${HOST}` });
    await failure(get(`/${MOD}/@v/list`), 'upstream');
    expect(server.tunnels).to.deep.equal([]);
  });

  it('shows a token to the one host that it is for, and nobody else sees it', async () => {
    server.protected.set('mod.git', `robot:${SECRET}`);
    const credentials = [
      { match: `${HOST}/other`, token: { user: 'nobody', secret: 'wrong' } },
      { match: `${HOST}/*`, token: { ...token, host: GIT_HOST } },
      { match: MOD, token: { user: 'late', secret: 'wrong' } },
    ];
    const { log, files } = await start({ credentials });
    const seen = new Set<string>();
    const asked = get(`/${MOD}/@v/v1.0.0.zip`);
    let running = true;
    const watching = (async (): Promise<void> => {
      for (; running; await delay(2)) {
        for (const line of processesOf(folder.path)) seen.add(line);
      }
    })();
    expect((await asked)[0]).to.equal(200);
    running = false;
    await watching;
    expect(users()).to.have.members([
      `nobody at ${HOST}`,
      `nobody at ${GIT_HOST}`,
      `robot at ${GIT_HOST}`,
    ]);
    expect([...seen].some((line) => line.includes('git'))).to.equal(true);
    expect([...seen].filter((line) => line.includes(SECRET))).to.deep.equal([]);
    expect(JSON.stringify(log.lines)).not.to.include(SECRET);
    expect(files().filter((file) => file.endsWith('.netrc'))).to.have.length(1);
  });

  it('shows a netrc file to the hosts that it names, the module’s own among them', async () => {
    server.protected.set('mod.git', `git-user:${SECRET}`).set('team', `web-user:${SECRET}`);
    const line = (host: string, user: string): string =>
      `machine ${host} login ${user} password ${SECRET}\n`;
    const file = join(folder.path, 'netrc');
    await writeFile(file, line(HOST, 'web-user') + line(GIT_HOST, 'git-user'), { mode: 0o640 });
    await start({ credentials: [{ match: MOD, netrc: { file } }] });
    expect(await get(`/${MOD}/@v/list`)).to.deep.equal([200, 'v1.0.0\n']);
    expect(users()).to.include(`web-user at ${HOST}`).and.to.include(`git-user at ${GIT_HOST}`);
  });

  it('B10: throws where credentials are missing or refused, without naming them', async () => {
    server.protected.set('mod.git', 'robot:another-secret');
    const repositories = [{ prefix: MOD, url: `https://${GIT_HOST}/mod.git` }];
    const file = join(folder.path, 'gone');
    for (const credentials of [
      [],
      [{ match: MOD, token }],
      [{ match: `${HOST}/other`, token: { user: 'robot', secret: 'another-secret' } }],
    ]) {
      const { log } = await start({ repositories, credentials });
      const { message } = await failure(get(`/${MOD}/@v/v1.0.0.info`), 'upstream');
      expect(message).to.include(GIT_HOST).and.not.to.include(SECRET);
      expect(log.lines).to.deep.equal([]);
    }
    await start({ repositories, credentials: [{ match: MOD, netrc: { file } }] });
    const { message } = await failure(get(`/${MOD}/@v/v1.0.0.info`), 'unavailable');
    expect(message).to.include(file);
  });

  it('knows nothing of the account that the node runs as', async () => {
    server.protected.set('mod.git', `robot:${SECRET}`);
    const home = join(folder.path, 'account');
    await mkdir(home);
    await writeFile(join(home, '.netrc'), `machine ${GIT_HOST} login robot password ${SECRET}\n`);
    await writeFile(join(home, '.gitconfig'), `[http]\n\textraHeader = X-Mine: 1\n`);
    await start({}, { HOME: home, GOPROXY: 'off', GIT_SSL_NO_VERIFY: '1', GOFLAGS: '-nonsense' });
    await failure(get(`/${MOD}/@v/list`), 'upstream');
    expect(users()).to.have.members([`nobody at ${HOST}`, `nobody at ${GIT_HOST}`]);
  });

  it('gives ssh the key of the rule alone, and the host keys beside it', async () => {
    const bin = join(folder.path, 'bin');
    const record = join(folder.path, 'ssh-record');
    await mkdir(bin);
    await writeFile(join(bin, 'ssh'), standIn(record, root));
    await chmod(join(bin, 'ssh'), 0o755);
    await writeFile(join(folder.path, 'key'), 'the private key\n', { mode: 0o644 });
    await writeFile(join(folder.path, 'hosts'), 'the host keys\n');
    const files = { file: join('..', 'key'), knownHosts: join('..', 'hosts') };
    const env = {
      PATH: `${bin}:${process.env['PATH']}`,
      SSH_AUTH_SOCK: join(folder.path, 'agent'),
    };
    const url = `ssh://git@${GIT_HOST}/mod.git`;
    const credentials = [{ match: `${HOST}/*`, sshKey: files }];
    await start({ repositories: [{ prefix: MOD, url }], credentials }, env);
    expect(await get(`/${MOD}/@v/list`)).to.deep.equal([200, 'v1.0.0\n']);
    const told = await readFile(record, 'utf8');
    for (const option of ['IdentitiesOnly=yes', 'StrictHostKeyChecking=yes', 'BatchMode=yes']) {
      expect(told).to.include(`-o ${option} `);
    }
    expect(told).to.match(/-i .*ssh-key -o UserKnownHostsFile=".*ssh-hosts" /);
    expect(told).to.include(`git@${GIT_HOST}`);
    expect(told).to.include('key 600: the private key').and.to.include('hosts: the host keys');
    expect(told).to.include('agent: none');
    expect(server.requests).to.deep.equal([]);

    // No mapping: the module's host names an https address on itself, which the key cannot open.
    server.imports.set(MOD, `https://${HOST}/mod.git`);
    await start({ credentials }, env);
    expect(await get(`/${MOD}/@v/list`)).to.deep.equal([200, 'v1.0.0\n']);
    expect(await readFile(record, 'utf8')).to.include(`git@${HOST}`);

    await start({ repositories: [{ prefix: MOD, url }] }, env);
    expect((await get(`/${MOD}/@v/list`))[0]).to.equal(200);
    expect(await readFile(record, 'utf8')).to.include('-o IdentityFile=/dev/null ');
  });
});

/** Writes own.crt and own.key for both hosts. */
function certificate(cwd: string): { readonly key: string; readonly cert: string } {
  const names = `subjectAltName=DNS:${HOST},DNS:${GIT_HOST}`;
  const asked = [
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=test',
  ];
  const files = ['-keyout', 'own.key', '-out', 'own.crt', '-addext', names];
  execFileSync('openssl', [...asked, ...files], { cwd, stdio: 'ignore' });
  const text = (file: string): string => readFileSync(join(cwd, file), 'utf8');
  return { key: text('own.key'), cert: text('own.crt') };
}

function opensslMissing(): string | undefined {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'there is no openssl command: install openssl';
  }
}

/** A program in place of ssh that notes what it was told and serves a repository of this machine. */
function standIn(record: string, root: string): string {
  return [
    '#!/bin/sh',
    `exec 3>"${record}"`,
    'echo "$@ " >&3',
    'echo "agent: ${SSH_AUTH_SOCK:-none}" >&3',
    'for word; do',
    '  if [ "$before" = -i ]; then echo "key $(stat -c %a "$word"): $(cat "$word")" >&3; fi',
    '  case "$word" in UserKnownHostsFile=*)',
    '    file=${word#*=}; file=${file#\\"}; echo "hosts: $(cat "${file%\\"}")" >&3;; esac',
    '  before=$word',
    'done',
    'eval "set -- $word"',
    `exec 3>&-; exec git upload-pack "${root}$2"`,
    '',
  ].join('\n');
}
