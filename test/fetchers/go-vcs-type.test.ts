import { execFileSync } from 'node:child_process';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { goVcsType } from '../../src/fetchers/go-vcs-type.ts';
import { vcsPlace } from '../support/git-server-fetcher.ts';
import { goMissing } from '../support/go-command.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { ask, failure } from './requests.ts';

const MOD = 'corp.example.com/team/mod';
const TOKEN = { user: 'robot', secret: { file: 'secret' } };
const REPOSITORIES = [{ prefix: MOD, url: 'http://127.0.0.1:1/mod.git' }];

describe('type: go-vcs', () => {
  let folder: TempFolder;
  beforeEach(async () => {
    folder = await tempFolder();
  });
  afterEach(async () => {
    await folder[Symbol.asyncDispose]();
  });

  it('makes a fetcher without the programs, says which are missing, and throws where they are needed', async () => {
    const dataDir = folder.path;
    const options = { repositories: REPOSITORIES };
    await using none = await vcsPlace({ dataDir, options, env: { PATH: dataDir } });
    expect(none.log.lines.map(({ fields }) => fields)).to.deep.equal([
      { program: 'go' },
      { program: 'git' },
    ]);
    const { message } = await failure(none.fetcher.fetch(ask(`/${MOD}/@latest`)), 'unavailable');
    expect(message).to.include('go cannot be run').and.to.include('install');
  });

  it('names git when only that is missing', async function () {
    const missing = goMissing();
    skipUnless(this, missing === undefined, missing ?? '');
    const bin = join(folder.path, 'bin');
    await mkdir(bin);
    const go = join(execFileSync('go', ['env', 'GOROOT'], { encoding: 'utf8' }).trim(), 'bin/go');
    await symlink(go, join(bin, 'go'));
    const options = { repositories: REPOSITORIES };
    await using only = await vcsPlace({ dataDir: folder.path, options, env: { PATH: bin } });
    expect(only.log.lines.map(({ fields }) => fields)).to.deep.equal([{ program: 'git' }]);
    const { message } = await failure(only.fetcher.fetch(ask(`/${MOD}/@latest`)), 'unavailable');
    expect(message).to.include('install git');
  });

  const refused: readonly (readonly [options: object, names: string])[] = [
    [{ repositories: [{ prefix: 'mod', url: 'https://git.example.com/x' }] }, 'missing dot'],
    [{ repositories: [{ prefix: MOD, url: 'git@git.example.com:x' }] }, 'ssh://git@'],
    [
      { repositories: [{ prefix: MOD, url: 'https://me:pw@git.example.com/x' }] },
      'without a password',
    ],
    [{ repositories: [{ prefix: MOD, url: 'file:///srv/x' }] }, 'ssh://git@'],
    [{ credentials: [{ match: MOD }] }, 'exactly one of'],
    [{ credentials: [{ match: MOD, token: TOKEN, netrc: { file: 'x' } }] }, 'exactly one of'],
    [{ credentials: [{ match: '[', netrc: { file: 'x' } }] }, 'without its ]'],
    [{ credentials: [{ match: MOD, token: { user: 'a b', secret: 'x' } }] }, 'without spaces'],
    [{ credentials: [{ match: '*', token: TOKEN }] }, 'the host that the token is for'],
    [{ credentials: [{ match: `${MOD},*.com/x`, token: TOKEN }] }, 'the host that'],
    [{ concurrent: 0 }, 'concurrent'],
    [{ gopath: '/x' }, 'gopath'],
  ];
  it('takes a token for any module that names its host, or for hosts of one domain', () => {
    const host = 'git.example.com';
    const credentials = [
      { match: '*', token: { ...TOKEN, host } },
      { match: '*.example.com/a,example.com', token: TOKEN },
    ];
    expect(goVcsType.options.safeParse({ credentials }).success).to.equal(true);
  });

  for (const [options, names] of refused) {
    it(`refuses ${JSON.stringify(options)}`, () => {
      const { success, error } = goVcsType.options.safeParse(options);
      expect(success).to.equal(false);
      expect(JSON.stringify(error?.issues)).to.include(names);
    });
  }
});
