import { expect } from 'chai';
import { PROBLEMS } from '../../src/http/problem.ts';
import { problemOfRefusal, type RefusalReason } from '../../src/http/request-check.ts';
import { COUNTERS } from '../../src/metrics.ts';
import { runCaje } from '../support/run-caje.ts';
import { blocksOf, brokenLinks, document, documents, rowsOf } from './documents.ts';

const MAX_README_LINES = 150;
const MAX_DECISION_LINES = 60;
const DECISION_PARTS = ['Context', 'Decision', 'Consequences', 'What would change our mind'];

/** Exhaustive by its type: a new reason has to be described. */
const REASONS: Readonly<Record<RefusalReason, true>> = {
  malformed: true,
  host: true,
  target: true,
  'target-too-long': true,
  version: true,
  framing: true,
  body: true,
  fields: true,
  upgrade: true,
  method: true,
  expectation: true,
  'request-timeout': true,
  'too-large': true,
  connections: true,
};

const unquoted = (cell: string | undefined): string => /^`(.*)`$/.exec(cell ?? '')?.[1] ?? '';

describe('the documentation', () => {
  for (const page of documents()) {
    it(`${page.name} has no link that leads nowhere`, () => {
      expect(brokenLinks(page)).to.deep.equal([]);
    });
  }

  it('has a README of at most 150 lines', () => {
    expect(document('README.md').text.trimEnd().split('\n').length).to.be.at.most(MAX_README_LINES);
  });

  it('tells status and retryability of every kind of error as the code has them', () => {
    const told = rowsOf(document('README.md'))
      .filter((cells) => cells.length === 5 && unquoted(cells[0]) !== '')
      .map(([kind, status, code, retryable]) => [
        unquoted(kind),
        { status: Number(status), code: unquoted(code), retryable: retryable === 'yes' },
      ]);
    const known = Object.entries(PROBLEMS).map(([kind, { status, retryable }]) => [
      kind,
      { status, code: kind, retryable },
    ]);
    expect(told.length).to.equal(known.length);
    expect(Object.fromEntries(told)).to.deep.equal(Object.fromEntries(known));
  });

  it('tells the status of every refusal as the code has it', () => {
    const text = document('docs/operations.md').text;
    const section = text.slice(text.indexOf('## Codes of refused requests'));
    const told = rowsOf({ name: '', text: section.slice(0, section.indexOf('\n## ', 1)) })
      .filter(([code]) => unquoted(code) !== '')
      .map(([code, status]) => [unquoted(code), Number(status)]);
    const known = (Object.keys(REASONS) as RefusalReason[]).map((reason) => [
      reason,
      problemOfRefusal({ reason, detail: '' }).status,
    ]);
    expect(Object.fromEntries(told)).to.deep.equal(Object.fromEntries(known));
  });

  it('names only counters that there are', () => {
    for (const { name, text } of documents()) {
      for (const [counter] of text.matchAll(/\b[a-z_]+_total\b/g))
        expect(COUNTERS, `${counter} in ${name}`).to.have.property(counter);
    }
  });

  it('names only commands that there are, and describes each', async () => {
    const { stdout } = await runCaje(['--help']);
    const listed = stdout.slice(stdout.indexOf('Commands:')).split('\n\n', 1)[0] ?? '';
    const there = [...listed.matchAll(/^ {2}([a-z][a-z-]*) /gm)].map(([, name = '']) => name);
    expect(there).to.include.members(['serve', 'config', 'ls']);
    const named = new Set<string>();
    for (const page of documents()) {
      const shell = blocksOf(page).filter(({ words }) => words[0] === 'sh');
      const code = [
        ...[...page.text.matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span),
        ...shell.flatMap(({ text }) => text.split('\n')),
      ];
      for (const line of code) {
        const command = /^(?:bin\/)?caje ([a-z][a-z-]*)/.exec(line)?.[1];
        if (command === undefined) continue;
        expect(there, `caje ${command} in ${page.name}`).to.include(command);
        named.add(command);
      }
    }
    expect([...named].sort()).to.deep.equal(there.filter((name) => name !== 'help').sort());
  });

  it('names every option of every command, and none that there is not', async () => {
    for (const [cell, options] of rowsOf(document('docs/cli.md'))) {
      const command = /^caje ([a-z -]+)$/.exec(unquoted(cell))?.[1];
      if (command === undefined) continue;
      const { stdout } = await runCaje([...command.split(' '), '--help']);
      const own = stdout.slice(0, stdout.indexOf('Global Options:'));
      const there = [...own.matchAll(/^ {2}(?:-\w, )? *(--[a-z-]+)/gm)].map(
        ([, name = '']) => name,
      );
      const told = [...(options ?? '').matchAll(/--[a-z-]+/g)].map(([name]) => name);
      const shared = ['--help', '--config'];
      expect(told.sort(), command).to.deep.equal(
        there.filter((name) => !shared.includes(name)).sort(),
      );
    }
  }).timeout(120_000);
});

describe('the decisions', () => {
  const pages = documents().filter(({ name }) => /^docs\/adr\/\d{4}-/.test(name));

  it('are numbered without gaps, and listed', () => {
    const list = document('docs/adr/README.md').text;
    pages.forEach(({ name }, index) => {
      expect(name).to.match(new RegExp(`/${String(index + 1).padStart(4, '0')}-`));
      expect(list).to.include(`(${name.replace('docs/adr/', '')})`);
    });
    expect(pages.length).to.be.at.least(15);
  });

  for (const { name, text } of pages) {
    it(`${name} has its parts on at most 60 lines`, () => {
      expect(text.split('\n').length).to.be.at.most(MAX_DECISION_LINES);
      expect(text).to.match(/^Status: \w/m);
      for (const part of DECISION_PARTS) expect(text).to.include(`\n## ${part}\n`);
    });
  }
});
