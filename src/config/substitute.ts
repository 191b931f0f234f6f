/** A text with its variables filled in. */
export interface Substituted {
  readonly text: string;
  /** Names of the variables that were filled in. */
  readonly names: readonly string[];
  readonly problems: readonly { readonly expected: string; readonly found: string }[];
}

const VARIABLE = /\$\$\{|\$\{([^}]*)(\}|$)/g;
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Fills in `${NAME}` from the environment; `$${` stands for `${`. An empty variable counts as set. */
export function substitute(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
): Substituted {
  const names: string[] = [];
  const problems: { expected: string; found: string }[] = [];
  const filled = text.replaceAll(
    VARIABLE,
    (whole: string, name: string | undefined, end: string) => {
      if (whole === '$${') return '${';
      if (name === undefined || end === '' || !VARIABLE_NAME.test(name)) {
        problems.push({
          expected: 'a variable such as ${HOME}, or $${ for the characters themselves',
          found: JSON.stringify(whole),
        });
        return whole;
      }
      const value = env[name];
      if (value === undefined) {
        problems.push({
          expected: `the environment variable ${name} to be set`,
          found: 'it is not set',
        });
      }
      names.push(name);
      return value ?? '';
    },
  );
  return { text: filled, names, problems };
}
