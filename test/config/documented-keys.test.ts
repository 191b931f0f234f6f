import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { configKeys, textOf } from '../../src/config/print-config.ts';
import { knownTypes } from './known-types.ts';

/** Keys that docs/configuration.md describes, with the default it gives for each. */
function documentedKeys(): ReadonlyMap<string, string> {
  const text = readFileSync(join(import.meta.dirname, '../../docs/configuration.md'), 'utf8');
  const keys = new Map<string, string>();
  let prefixes: readonly string[] = [''];
  let inKeys = false;
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) prefixes = prefixesOf(line);
    if (line.startsWith('## ')) inKeys = line === '## Keys';
    const [, key, value] = /^\| `([^`]+)` \| (.*?) ?\| /.exec(line) ?? [];
    if (!inKeys || key === undefined) continue;
    for (const prefix of prefixes) keys.set(`${prefix}${key}`, value ?? '');
  }
  return keys;
}

function prefixesOf(heading: string): readonly string[] {
  const [, types, section] = /^### (.*) in `(\w+)`$/.exec(heading) ?? [];
  if (types === undefined || section === undefined) return [''];
  const names = [...types.matchAll(/`(?:type: |protocol: )?([\w-]+)`/g)].map((match) => match[1]);
  return names.map((name) => `${section}${section === 'rules' ? '[]' : '.NAME'}(${name}).`);
}

describe('docs/configuration.md', () => {
  const documented = documentedKeys();
  const known = configKeys(knownTypes);

  it('describes every key, and none that there is not', () => {
    expect([...documented.keys()].sort()).to.deep.equal(known.map(({ key }) => key).sort());
  });

  it('gives the default of every key that has one', () => {
    for (const { key, defaultValue, required } of known) {
      const said = documented.get(key);
      if (defaultValue !== undefined) expect(said, key).to.equal(`\`${textOf(defaultValue)}\``);
      if (required) expect(said, key).to.equal('required');
    }
  });
});
