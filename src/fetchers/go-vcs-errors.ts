import { ProxyError } from '../errors.ts';

const OP = 'go-vcs-fetcher.fetch';
/** What the go command shows of an error's body. */
const MAX_LINES = 8;
const MAX_CHARACTERS = 640;

/** What a run of the go command was about, to read and to tidy up what it said. */
export interface GoFailure {
  /** Standard error, or the `Error` of its JSON. */
  readonly said: string;
  readonly module: string;
  /** Absent: a list. */
  readonly version?: string | undefined;
  /** Folder whose paths must not be shown. */
  readonly folder: string;
  /** Texts that must not be shown. */
  readonly secrets: readonly string[];
}

/** A git child of the go command failed, as the go command tells it. */
const GIT_FAILED = /exit status \d+|signal: /;

/** What git or the server behind it says of a repository that is not there. */
const NO_REPOSITORY = [
  /repository '[^']*' not found/,
  /repository not found/i,
  /does not appear to be a git repository/,
  /project you were looking for could not be found/i,
];

/** What refused credentials look like; some servers put it beside a sentence that the repository may not exist. */
const REFUSED =
  /Authentication failed|could not read (?:Username|Password)|Permission denied|returned error: 40[13]|Host key verification failed/;

/** What the go command says of things that are not there, and of none else. Anything that is not listed is an outage. */
const NOT_THERE = [
  /unknown revision/,
  /ambiguous revision/,
  /no matching versions for query/,
  /no go-import meta tags/,
  /reading https?:\/\/\S+\?go-get=1: (?:404|410) /,
  /invalid \S+ import path/,
  /(?:malformed|invalid) module path/,
  /mismatched repo: /,
  /cannot contain module/,
  /is not a tag\)/,
  /should be v\d/,
  /missing \S*go\.mod/,
  /is missing module path/,
  /has (?:non-|post-|malformed )\S* ?module path/,
  /both have \S* ?module paths/,
  /revision is (?:longer|shorter) than canonical/,
  /does not match (?:short name of revision|version-control timestamp)/,
  /major version without preceding tag/,
  /is already canonical/,
  /preceding tag/,
  /\+incompatible suffix not allowed/,
  /is not canonical/,
];

/**
 * Whether the go command said that something does not exist: the text for the client's 404. Anything else is thrown:
 * `unavailable` when a program is missing or too old, else `upstream`, since an outage must never look like an absence.
 */
export function absenceOf(failure: GoFailure): string {
  const { said, module, version = '' } = failure;
  const text = tidy(failure);
  // A query may be spelled like a sentence below.
  const plain = said
    .replaceAll(`${module}@${version}`, '')
    .replaceAll(`unknown revision ${version}`, 'unknown revision');
  const missing = /exec: "([^"]+)": executable file not found/.exec(said)?.[1];
  if (missing !== undefined) {
    throw new ProxyError('unavailable', OP, `there is no ${missing} command: install ${missing}`);
  }
  const newer = /requires go >= (\S+)/.exec(said)?.[1];
  if (newer !== undefined) {
    const why = `the zip of ${module}@${version} is made by go ${newer} or newer: install it`;
    throw new ProxyError('unavailable', OP, why);
  }
  const absent = GIT_FAILED.test(plain)
    ? !REFUSED.test(plain) && NO_REPOSITORY.some((pattern) => pattern.test(plain))
    : NOT_THERE.some((pattern) => pattern.test(plain));
  if (absent) return `not found: ${text}\n`;
  const reason = text === '' ? `the go command failed for ${module}` : text;
  throw new ProxyError('upstream', OP, reason.replaceAll(/\s*\n\s*/g, ' '));
}

function tidy({ said, folder, secrets }: GoFailure): string {
  let text = said;
  for (const secret of secrets) text = text.replaceAll(secret, '***');
  const lines = text
    .replaceAll(/\/\/[^\s/@]+@/g, '//')
    .split('\n')
    .map((line) => withoutFolder(line, folder).replace(/^go: /, '').trimEnd())
    .filter(
      (line) =>
        line.trim() !== '' &&
        !/^(?:downloading |Confirm the import path|If this is a private)/.test(line),
    );
  return lines.slice(0, MAX_LINES).join('\n').slice(0, MAX_CHARACTERS);
}

function withoutFolder(line: string, folder: string): string {
  const parts = line.split(folder);
  return parts
    .map((part, at) => (at === 0 ? part : part.replace(/^[^\s:'"]*/, '')))
    .join('')
    .replace(/ in :/, ':');
}
