import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { ConfigError, formatConfigIssue } from '../../src/config/config-error.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { knownTypes } from './known-types.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures/config');

const ENV: Readonly<Record<string, string>> = {
  CAJE_TEST_FOLDER: 'folder',
  CAJE_TEST_COUNT: '7',
  CAJE_TEST_ACCESS: 'false',
  CAJE_TEST_PORT: '3000',
  HOME: '/home/nobody',
};

/** What the first lines of a file say that is wrong with it. */
interface Verdict {
  readonly line: number;
  readonly key: string;
  readonly part: string;
}

function load(folder: string, file: string): ReturnType<typeof loadConfig> {
  const cwd = join(FIXTURES, folder);
  return loadConfig({ file, env: ENV, types: knownTypes, cwd, loadPlugins: importPlugins });
}

async function importPlugins(paths: readonly string[]): Promise<[]> {
  for (const path of paths) await import(path);
  return [];
}

function verdictsIn(text: string): readonly Verdict[] {
  const lines = text.split('\n').filter((line) => line.startsWith('# expect: '));
  return lines.map((line) => {
    const [, number, key, part] = /^# expect: (\d+): ([^:]*): (.+)$/.exec(line) ?? [];
    expect(part, `verdict ${line}`).to.be.a('string');
    return { line: Number(number), key: key ?? '', part: part ?? '' };
  });
}

describe('configuration files that are wrong', () => {
  const files = readdirSync(join(FIXTURES, 'bad'));

  it('are at least 45', () => {
    expect(files.length).to.be.at.least(45);
  });

  for (const file of files) {
    it(`${file} is refused with each fault, its line, its key and what was expected`, async () => {
      const verdicts = verdictsIn(readFileSync(join(FIXTURES, 'bad', file), 'utf8'));
      expect(verdicts).to.not.have.lengthOf(0);
      const error = await load('bad', file).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error, String(error)).to.be.instanceOf(ConfigError);
      const { issues } = error as ConfigError;
      expect(issues, String(error)).to.have.lengthOf(verdicts.length);
      verdicts.forEach((verdict, index) => {
        const issue = issues[index];
        expect({ file: issue?.file, line: issue?.line, key: issue?.key }).to.deep.equal({
          file,
          line: verdict.line,
          key: verdict.key,
        });
        expect(issue?.message).to.include(verdict.part);
        expect(issue?.message).to.equal(
          `expected ${issue?.expected}, found ${issue?.found}${hintOf(issue?.message)}`,
        );
        if (issue !== undefined) expect(formatConfigIssue(issue)).to.match(/^[\w-]+\.yaml:\d+: /);
      });
    });
  }
});

describe('configuration files that are right', () => {
  const files = readdirSync(join(FIXTURES, 'good'));

  it('are at least 8', () => {
    expect(files.length).to.be.at.least(8);
  });

  for (const file of files) {
    it(`${file} is taken`, async () => {
      const { config } = await load('good', file);
      expect(config.source).to.equal(file);
      expect(config.rules).to.not.have.lengthOf(0);
    });
  }
});

function hintOf(message: string | undefined): string {
  return /; did you mean .*$/.exec(message ?? '')?.[0] ?? '';
}
