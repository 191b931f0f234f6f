import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

/** The checkout. */
export const ROOT: string = join(import.meta.dirname, '../..');

/** A page of the documentation. */
export interface Document {
  /** Relative to the checkout. */
  readonly name: string;
  readonly text: string;
}

/** A fenced block; `words` are those of its info string, the language first. */
export interface Block {
  readonly words: readonly string[];
  readonly text: string;
  /** Line of its fence, from 1. */
  readonly line: number;
}

/** Every page that users and contributors read. */
export function documents(): readonly Document[] {
  const inDocs = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name));
  return ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', ...inDocs].sort().map(document);
}

/** One page by its name. */
export function document(name: string): Document {
  return { name, text: readFileSync(join(ROOT, name), 'utf8') };
}

/** Its fenced blocks, in order. */
export function blocksOf({ text }: Document): readonly Block[] {
  return [...text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    words: (match[1] ?? '').trim().split(/\s+/),
    text: match[2] ?? '',
    line: text.slice(0, match.index).split('\n').length,
  }));
}

/** Rows of its tables as their cells, heads among them. */
export function rowsOf({ text }: Document): readonly (readonly string[])[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\|[-| ]+$/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    );
}

/** Relative links of a page that lead nowhere. */
export function brokenLinks({ name, text }: Document): readonly string[] {
  const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  return targets.filter((target) => {
    if (/^[a-z]+:/.test(target)) return false;
    const path = join(ROOT, dirname(name), target.replace(/#.*$/, ''));
    return relative(ROOT, path).startsWith('..') || !existsSync(path);
  });
}
