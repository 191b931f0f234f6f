/** One thing that is wrong with a configuration, and what to write instead. */
export interface ConfigIssue {
  /** File as the user named it, or the environment variable that set the value. */
  readonly file: string;
  /** From 1. Absent: the place is not a line of a file. */
  readonly line?: number | undefined;
  /** Dotted path such as `storage.local.maxBytes`; empty for the file as a whole. */
  readonly key: string;
  /** What may stand there, with an example. */
  readonly expected: string;
  /** What stands there; never a secret. */
  readonly found: string;
  /** One sentence of both, without file, line and key. */
  readonly message: string;
}

/** A configuration that cannot be used. Carries everything that is wrong with it, in order of the file. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly issues: readonly ConfigIssue[];

  constructor(issues: readonly ConfigIssue[]) {
    super(issues.map(formatConfigIssue).join('\n'));
    this.issues = issues;
  }
}

/** `caje.yaml:12: storage.local.maxBytes: expected a size such as 20GiB, found "20 apples"`. */
export function formatConfigIssue(issue: ConfigIssue): string {
  const place = issue.line === undefined ? issue.file : `${issue.file}:${issue.line}`;
  return [place, issue.key, issue.message].filter((part) => part !== '').join(': ');
}

/** One line for each issue, ready for a terminal. */
export function formatConfigError(error: ConfigError): string {
  return error.issues.map(formatConfigIssue).join('\n');
}
