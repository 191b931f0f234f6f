import { execFileSync } from 'node:child_process';
import { cleanEnv } from './run-caje.ts';

/** One commit on top of the one before it. */
export interface GitCommit {
  /** Text by path; what earlier commits laid down stays. */
  readonly files: Readonly<Record<string, string>>;
  readonly tags?: readonly string[] | undefined;
  /** Branch that it goes on; a new one grows from the last commit of `main`. Absent: `main`. */
  readonly branch?: string | undefined;
}

/** Seconds since the epoch of the first commit, 2024-01-02T03:04:05Z; each further one is a minute later. */
const FIRST_AT = 1_704_164_645;
const MINUTE = 60;

/** Why git cannot be run or served here. Absent: it can. */
export function gitMissing(): string | undefined {
  try {
    const folder = execFileSync('git', ['--exec-path'], { encoding: 'utf8' }).trim();
    execFileSync('test', ['-x', `${folder}/git-http-backend`]);
    return undefined;
  } catch {
    return 'there is no git with git-http-backend: install git';
  }
}

/**
 * Makes a bare repository at `path`, or adds to the one that is there. `from` counts the commits of `main` that it has
 * already. Gives the hashes of the commits in their order.
 */
export function commitTo(path: string, commits: readonly GitCommit[], from = 0): readonly string[] {
  if (from === 0) git(path, ['init', '--quiet', '--bare', '--initial-branch=main', path]);
  /** What the next commit of a branch stands on. */
  const tips = new Map(from === 0 ? [] : [['main', 'refs/heads/main^0']]);
  const lines: string[] = [];
  for (const [at, { files, tags = [], branch = 'main' }] of commits.entries()) {
    const mark = `:${at + 1}`;
    const when = `Tester <tester@example.com> ${FIRST_AT + (from + at) * MINUTE} +0000`;
    lines.push(`commit refs/heads/${branch}`, `mark ${mark}`, `committer ${when}`);
    lines.push(data(`commit ${from + at}`));
    const below = tips.get(branch) ?? tips.get('main');
    if (below !== undefined) lines.push(`from ${below}`);
    tips.set(branch, mark);
    for (const [name, text] of Object.entries(files)) {
      lines.push(`M 100644 inline ${name}`, data(text));
    }
    lines.push('');
    for (const tag of tags) lines.push(`reset refs/tags/${tag}`, `from ${mark}`, '');
    lines.push(`get-mark ${mark}`);
  }
  const input = `${lines.join('\n')}\ndone\n`;
  return git(path, ['fast-import', '--quiet', '--done'], input).trim().split('\n');
}

/** Moves a tag, or makes it. */
export function tagAgain(path: string, tag: string, commit: string): void {
  git(path, ['tag', '--force', tag, commit]);
}

function git(path: string, args: readonly string[], input?: string): string {
  const cwd = args[0] === 'init' ? '/' : path;
  const env = cleanEnv({ GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null' });
  return execFileSync('git', args, { cwd, env, input: input ?? '', encoding: 'utf8' });
}

function data(text: string): string {
  return `data ${Buffer.byteLength(text)}\n${text}`;
}
