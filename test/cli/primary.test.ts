import { expect } from 'chai';
import { JournalProcesses } from '../support/journal-processes.ts';

describe('caje primary', function () {
  this.timeout(120_000);

  it('says who writes the manifest and who follows, and makes another node do it', async () => {
    await using cluster = await JournalProcesses.start({ followers: 1 });
    await cluster.get(1, '/a');
    const first = await cluster.node(0).run('primary');
    expect(first.stdout).to.match(
      /^caje-[0-9a-f]{16} is the primary, term 0\n {2}caje-\S+ http:\S+ has /,
    );
    const second = await cluster.node(1).run('primary');
    expect(second.stdout).to.match(/^caje-\S+ follows caje-\S+ at http:\S+, term 0\n$/);
    const refused = await cluster.node(0).run('primary', 'promote');
    expect(refused).to.include({ code: 1, stdout: '' });
    expect(refused.stderr).to.include('this node is the primary already');
    const wrong = await cluster.node(1).run('primary', 'promote', '--url', 'ftp://somewhere');
    expect(wrong.code).to.equal(2);

    await cluster.node(0).kill9();
    // Also where no node runs.
    await cluster.node(1).stop();
    const promoted = await cluster.node(1).run('primary', 'promote');
    expect(promoted.stdout).to.match(/^caje-\S+ is the primary, term 1\n/);
    await cluster.node(1).restart();
    const again = await cluster.node(1).run('primary', '--json');
    expect(JSON.parse(again.stdout)).to.include({
      ...{ role: 'primary', term: 1, url: cluster.node(1).peerUrl, trusted: true },
    });
    await cluster.node(0).restart();
    await cluster.get(0, '/b');
    await cluster.level();
  });
});
