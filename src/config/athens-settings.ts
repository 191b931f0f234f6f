import { parse, TomlError } from 'smol-toml';
import { messageOf } from '../errors.ts';
import { ATHENS_KEYS, type AthensKey, type AthensKind } from './athens-keys.ts';
import { ConfigError, type ConfigIssue } from './config-error.ts';
import { isMapping } from './json-schema.ts';
import { maskText } from './mask-config.ts';
import { didYouMean } from './suggest.ts';

/** Where Athens says what it does. */
export interface AthensSources {
  /** Stands over the file. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** athens.toml with its name as the user wrote it. Absent: the environment alone. */
  readonly toml?: { readonly name: string; readonly text: string } | undefined;
}

/** A setting that says nothing to a node, or something else than to Athens, and why. */
export interface AthensNote {
  /** The variable, or file and key. */
  readonly setting: string;
  readonly reason: string;
}

interface Found {
  readonly key: AthensKey;
  readonly value: unknown;
  readonly file: string;
  /** Empty: the place is a variable. */
  readonly at: string;
}

// As Go's strconv.ParseBool reads them.
const TRUE = /^(1|t|T|TRUE|true|True)$/;
const FALSE = /^(0|f|F|FALSE|false|False)$/;

/**
 * What is set for Athens, by the keys of athens.toml. Getters give undefined for what is not set or empty. What is wrong is
 * collected: `settle` throws it.
 */
export class AthensSettings {
  readonly #found = new Map<string, Found>();
  readonly #issues: ConfigIssue[] = [];
  readonly #notes: AthensNote[] = [];

  /** Throws `ConfigError` for a file that is no TOML. */
  constructor({ env, toml }: AthensSources) {
    if (toml !== undefined) this.#readFile(toml.name, parseToml(toml.name, toml.text));
    this.#readEnvironment(env);
    for (const found of this.#found.values()) {
      const where = found.key.where;
      const unused = where !== undefined && this.text(where[0]) !== where[1];
      if (found.key.none !== undefined && !unused) {
        this.note(found.key.toml, `not carried over: ${found.key.none}`);
      }
    }
  }

  /** Settings without a counterpart, and what was added. */
  get notes(): readonly AthensNote[] {
    return [...this.#notes, ...this.#unused()];
  }

  text(toml: string): string | undefined {
    return this.#read(toml, 'a text', (value) => (typeof value === 'string' ? value : undefined));
  }

  /** A whole number from 0. */
  number(toml: string): number | undefined {
    return this.#read(toml, 'a whole number such as 300', (value) => {
      const number = typeof value === 'string' ? Number(value.trim() || Number.NaN) : value;
      return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0
        ? number
        : undefined;
    });
  }

  flag(toml: string): boolean | undefined {
    return this.#read(toml, 'true or false', (value) => {
      if (typeof value === 'boolean') return value;
      if (typeof value !== 'string') return undefined;
      return TRUE.test(value) ? true : FALSE.test(value) ? false : undefined;
    });
  }

  /** An empty list is one that was set so. */
  list(toml: string): readonly string[] | undefined {
    return this.#read(toml, 'a list of texts', (value, kind) => {
      const separator = kind === 'assignments' ? ';' : ',';
      const items: unknown =
        typeof value === 'string' ? value.split(separator).map((item) => item.trim()) : value;
      if (!Array.isArray(items)) return undefined;
      const texts = items.filter((item): item is string => typeof item === 'string');
      return texts.length === items.length ? texts.filter((item) => item !== '') : undefined;
    });
  }

  /** One of the given texts; anything else is wrong. */
  choice<Choice extends string>(toml: string, choices: readonly Choice[]): Choice | undefined {
    const text = this.text(toml);
    const choice = choices.find((candidate) => candidate === text);
    if (text !== undefined && choice === undefined)
      this.refuse(toml, `one of ${choices.join(', ')}`);
    return choice;
  }

  /** A reference to the variable that holds a secret. Where another place holds it, a note says to set the variable. */
  secret(toml: string, variable: string): string {
    if (this.placeOf(toml) !== variable)
      this.note(toml, `the secret in it is not copied: set ${variable} to it`);
    return `\${${variable}}`;
  }

  /** `ATHENS_PORT`, or `athens.toml: Port`. Absent: it is not set. */
  placeOf(toml: string): string | undefined {
    const found = this.#found.get(idOf(toml));
    return found === undefined ? undefined : [found.file, found.at].filter(Boolean).join(': ');
  }

  /** Says that something that is set counts for nothing or means something else. */
  note(toml: string, reason: string): void {
    this.#notes.push({ setting: this.placeOf(toml) ?? variableOf(toml), reason });
  }

  /** Says that a value is wrong. `found` absent: the value itself, but for a secret. */
  refuse(toml: string, expected: string, found?: string): void {
    const place = this.#found.get(idOf(toml));
    const text = found ?? (place === undefined ? 'nothing' : shownOf(place));
    const message = `expected ${expected}, found ${text}`;
    const [file, key] = place === undefined ? [variableOf(toml), ''] : [place.file, place.at];
    this.#issues.push({ file, key, expected, found: text, message });
  }

  /** Adds what is wrong in a file that a setting names. */
  refuseIn(file: string, line: number, expected: string, found: string): void {
    const message = `expected ${expected}, found ${found}`;
    this.#issues.push({ file, line, key: '', expected, found, message });
  }

  /** Throws `ConfigError` if anything was wrong. */
  settle(): void {
    const issues = new Map(this.#issues.map((issue) => [JSON.stringify(issue), issue]));
    if (issues.size > 0) throw new ConfigError([...issues.values()]);
  }

  #read<Value>(
    toml: string,
    expected: string,
    parseValue: (value: unknown, kind: AthensKind) => Value | undefined,
  ): Value | undefined {
    const found = this.#found.get(idOf(toml));
    if (found === undefined) return undefined;
    const value = parseValue(found.value, found.key.kind ?? 'text');
    if (value === undefined) this.refuse(toml, expected);
    return value;
  }

  #readFile(file: string, values: Readonly<Record<string, unknown>>, above = ''): void {
    for (const [name, value] of Object.entries(values)) {
      const at = `${above}${name}`;
      const key = ATHENS_KEYS.find(({ toml }) => idOf(toml) === idOf(at));
      const isBlock = ATHENS_KEYS.some(({ toml }) => idOf(toml).startsWith(idOf(`${at}.`)));
      if (key !== undefined) this.#add({ key, value, file, at: key.toml });
      else if (isMapping(value) && isBlock) this.#readFile(file, value, `${at}.`);
      else {
        const hint = didYouMean(
          at,
          ATHENS_KEYS.map(({ toml }) => toml),
        );
        this.#notes.push({ setting: `${file}: ${at}`, reason: `Athens has no such key${hint}` });
      }
    }
  }

  #readEnvironment(env: AthensSources['env']): void {
    const known = new Set(ATHENS_KEYS.flatMap((key) => key.env));
    for (const key of ATHENS_KEYS) {
      const [main = ''] = key.env;
      const name = key.env.find((variable) => (env[variable] ?? '') !== '');
      if (name !== undefined) this.#add({ key, value: env[name], file: name, at: '' });
      // An empty text is a text: it takes away what the file says.
      else if (env[main] === '' && key.kind === undefined) this.#found.delete(idOf(key.toml));
    }
    for (const name of Object.keys(env).sort()) {
      if (!name.startsWith('ATHENS_') || known.has(name) || env[name] === '') continue;
      const hint = didYouMean(name, [...known]);
      this.#notes.push({ setting: name, reason: `Athens has no such variable${hint}` });
    }
  }

  #add(found: Found): void {
    const empty = found.value === '' || found.value === false;
    if (empty) this.#found.delete(idOf(found.key.toml));
    else this.#found.set(idOf(found.key.toml), found);
  }

  // Blocks whose type is not chosen: one line for each variable and for each block of the file.
  #unused(): readonly AthensNote[] {
    const notes = new Map<string, AthensNote>();
    const counts = ({ key: { where } }: Found): boolean =>
      where === undefined || this.text(where[0]) === where[1];
    const all = [...this.#found.values()];
    const used = new Set(all.filter(counts).map(({ file, at }) => `${file} ${at}`));
    for (const { key, file, at } of all) {
      const own = at !== '' || file.startsWith('ATHENS_');
      if (key.where === undefined || used.has(`${file} ${at}`) || !own) continue;
      const [type, value] = key.where;
      const block = key.toml.split('.').slice(0, 2).join('.');
      const setting = at === '' ? file : `${file}: [${block}]`;
      notes.set(setting, { setting, reason: `it counts only where ${type} is ${value}` });
    }
    return [...notes.values()];
  }
}

// What is not set has the name that it would be set by.
function variableOf(toml: string): string {
  return ATHENS_KEYS.find((key) => key.toml === toml)?.env[0] ?? toml;
}

function shownOf({ key, value }: Found): string {
  return key.secret === true ? 'another' : maskText(JSON.stringify(value));
}

// Go's TOML reader takes a key in any case.
function idOf(toml: string): string {
  return toml.toLowerCase();
}

function parseToml(file: string, text: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (error) {
    const line = error instanceof TomlError ? error.line : undefined;
    const found = messageOf(error).split('\n', 1)[0] ?? '';
    const message = `expected TOML: ${found}`;
    throw new ConfigError([{ file, line, key: '', expected: 'TOML', found, message }]);
  }
}
