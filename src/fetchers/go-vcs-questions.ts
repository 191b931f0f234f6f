import { readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import { ProxyError } from '../errors.ts';
import type { GoproxyPath } from '../gomod/goproxy-path.ts';
import { isCanonicalVersion } from '../gomod/version.ts';
import { absenceOf } from './go-vcs-errors.ts';
import type { VcsResult } from './go-vcs-workspace.ts';
import type { WorkspaceLease } from './go-vcs-workspaces.ts';

/** What the go command's `-json` says that is of use here. */
const said = z.object({
  Version: z.string().optional(),
  Versions: z.array(z.string()).optional(),
  Error: z.string().optional(),
  Origin: z.object({ Subdir: z.string().optional() }).optional(),
});

type Said = z.output<typeof said>;

/** A question that is being put: where, about what, and until when. */
interface Question {
  readonly lease: WorkspaceLease;
  readonly module: string;
  readonly signal: AbortSignal;
}

/** The name under which equal questions share one answer. */
export function questionName(asked: GoproxyPath): string {
  return 'version' in asked
    ? `${asked.file} ${asked.module}@${asked.version}`
    : `${asked.file} ${asked.module}`;
}

/**
 * Answers one GOPROXY request in a workspace: what the go command found there before is taken from its cache, and nothing
 * is made that was not asked for. Throws as `absenceOf`, `runCommand` and `GoVcsWorkspace.inTurn`.
 */
export async function askGo(
  lease: WorkspaceLease,
  asked: GoproxyPath,
  signal: AbortSignal,
): Promise<VcsResult> {
  const question: Question = { lease, module: asked.module, signal };
  return await lease.workspace.inTurn(signal, async () => {
    switch (asked.file) {
      case 'list':
        return await list(question);
      case 'latest':
        return await resolved(question, 'latest');
      case 'zip':
        return await zip(question, asked.version);
      default:
        return isCanonicalVersion(asked.version)
          ? await text(question, asked.file, asked.version)
          : await resolved(question, asked.version);
    }
  });
}

/** The versions that have a tag. A module that has none must still be told from one that does not exist. */
async function list(question: Question): Promise<VcsResult> {
  const { module } = question;
  const answer = await go(question, ['list', '-m', '-versions', '-retracted', '-json', module]);
  if ('absent' in answer) return absent(answer.absent);
  const versions = answer.Versions ?? [];
  if (versions.length === 0) {
    const latest = await version(question, 'latest');
    if ('absent' in latest) return absent(latest.absent);
  }
  return bytes(Buffer.from(versions.map((one) => `${one}\n`).join('')));
}

/** The `.info` of what a query means now. */
async function resolved(question: Question, query: string): Promise<VcsResult> {
  const answer = await version(question, query);
  if ('absent' in answer) return absent(answer.absent);
  const { workspace } = question.lease;
  return bytes(await readFile(workspace.cached(question.module, 'info', answer.Version ?? '')));
}

/** `.info` or `.mod` of a version, for which the go command makes no zip. */
async function text(question: Question, file: 'info' | 'mod', asked: string): Promise<VcsResult> {
  const { lease, module } = question;
  const path = (): string => lease.workspace.cached(module, file, asked);
  if (!(await isThere(path()))) {
    const answer = await version(question, asked);
    if ('absent' in answer) return absent(answer.absent);
    if (answer.Version !== asked) {
      return absent(`not found: ${module}@${asked} is ${answer.Version} in its canonical form\n`);
    }
  }
  return bytes(await readFile(path()));
}

async function zip(question: Question, asked: string): Promise<VcsResult> {
  const { lease, module } = question;
  const path = (): string => lease.workspace.cached(module, 'zip', asked);
  if (!(await isThere(path()))) {
    const answer = await go(question, ['mod', 'download', '-json', `${module}@${asked}`], asked);
    if ('absent' in answer) return absent(answer.absent);
    if (answer.Version !== asked) {
      return absent(`not found: ${module}@${asked} is ${answer.Version} in its canonical form\n`);
    }
  }
  return { kind: 'file', path: path() };
}

async function version(
  question: Question,
  query: string,
): Promise<Said | { readonly absent: string }> {
  return await go(question, ['list', '-m', '-json', `${question.module}@${query}`], query);
}

async function go(
  { lease, module, signal }: Question,
  args: readonly string[],
  query?: string,
): Promise<Said | { readonly absent: string }> {
  const { workspace, learn } = lease;
  const { code, stdout, stderr } = await workspace.go(args, signal);
  const answer = read(stdout);
  if (code === 0 && answer !== undefined) {
    if (answer.Origin !== undefined) learn(module, answer.Origin.Subdir ?? '');
    return answer;
  }
  const { folder } = workspace;
  const secrets = await workspace.secrets();
  const failure = { said: answer?.Error ?? stderr, module, version: query, folder, secrets };
  return { absent: absenceOf(failure) };
}

function read(stdout: string): Said | undefined {
  if (stdout.trim() === '') return undefined;
  try {
    return said.parse(JSON.parse(stdout));
  } catch (cause) {
    const why = 'the go command said something that is no JSON of a module';
    throw new ProxyError('upstream', 'go-vcs-questions.read', why, { cause });
  }
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

function bytes(content: Buffer): VcsResult {
  return { kind: 'bytes', bytes: content };
}

function absent(message: string): VcsResult {
  return { kind: 'absent', text: message };
}
