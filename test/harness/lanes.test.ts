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
    const reports: string[] = [];
    const counts = await runInLanes([groupOf('passing'), groupOf('mixed'), groupOf('passing')], {
      lanes: 2,
      print: (text) => void reports.push(text),
    });
    expect(countsLine(counts)).to.equal('5 passed, 1 failed, 1 skipped\n');
    expect(reports).to.have.length(3);
    const [mixed = ''] = reports.filter((text) => /^\n# mixed, \d+ s\n/.test(text));
    expect(mixed).to.include('a file of which some passes').and.to.include('as it should');
    expect(reports.join('')).to.not.match(/^\d+ passed,/m);
  });

  it('counts a group that does not come to its end as failed, whatever it ended with', async () => {
    const reports: string[] = [];
    const counts = await runInLanes([groupOf('dying'), groupOf('passing')], {
      lanes: 1,
      print: (text) => void reports.push(text),
    });
    expect(counts).to.deep.equal({ passed: 2, failed: 1, skipped: 0 });
    expect(reports[0]).to.include('dying ended with 0');
  });

  it('begins nothing once it is stopped', async () => {
    const stop = new AbortController();
    const counts = await runInLanes([groupOf('passing'), groupOf('passing')], {
      lanes: 1,
      signal: stop.signal,
      print: () => stop.abort(),
    });
    expect(counts).to.deep.equal({ passed: 2, failed: 0, skipped: 0 });
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
