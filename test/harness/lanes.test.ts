import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { countsLine, runInLanes, type TestGroup } from '../support/lanes.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

function groupOf(name: string): TestGroup {
  return { name, files: [`test/fixtures/lanes/${name}.ts`] };
}

describe('tests in lanes', function () {
  this.timeout(60_000);

  it('sums up what passed, failed and was skipped, and shows each report whole', async () => {
    let report = '';
    const counts = await runInLanes([groupOf('passing'), groupOf('mixed'), groupOf('passing')], {
      lanes: 2,
      print: (text) => {
        report += text;
      },
    });
    expect(countsLine(counts)).to.equal('5 passed, 1 failed, 1 skipped\n');
    const marks = report.split('\n').filter((line) => line.startsWith('# '));
    expect(marks.map((line) => line.replace(/\d+ s$/, 'over'))).to.deep.equal([
      ...['# passing', '# passing: over'],
      ...['# mixed', '# mixed ended with 1'],
      ...['# passing', '# passing: over'],
      '# mixed failed',
    ]);
    const again = report.slice(report.indexOf('# mixed failed'));
    expect(again).to.include('1 failing').and.to.include('as it should');
    const mixed = report.slice(report.indexOf('# mixed'), report.indexOf('# mixed ended'));
    expect(mixed).to.include('a file of which some passes').and.to.include('as it should');
    expect(report).to.not.match(/^\d+ passed,/m);
  });

  it('counts a group that does not come to its end as failed, whatever it ended with', async () => {
    let report = '';
    const counts = await runInLanes([groupOf('dying'), groupOf('passing')], {
      lanes: 1,
      print: (text) => {
        report += text;
      },
    });
    expect(counts).to.deep.equal({ passed: 2, failed: 1, skipped: 0 });
    expect(report).to.match(/# dying failed\n# dying ended with 0\n$/);
  });

  it('ends what runs and begins nothing once it is stopped', async () => {
    const stop = new AbortController();
    const counts = await runInLanes([groupOf('endless'), groupOf('passing')], {
      lanes: 1,
      signal: stop.signal,
      print: (text) => {
        if (text.includes('begins')) stop.abort();
      },
    });
    expect(counts).to.deep.equal({ passed: 0, failed: 1, skipped: 0 });
  });

  it('hands what it is given to one mocha', async () => {
    const args = ['--conditions=caje-source', 'test/run.ts', 'test/fixtures/lanes/mixed.ts'];
    const { code, stdout } = await new Promise<{ code: unknown; stdout: string }>((resolve) => {
      execFile(process.execPath, args, { cwd: root }, (error, text) =>
        resolve({ code: error?.code, stdout: text }),
      );
    });
    expect(code).to.equal(1);
    expect(stdout).to.match(/^1 passed, 1 failed, 1 skipped\n$/m);
  });
});
