import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { PrimaryClient } from '../../src/manifest/primary-client.ts';
import { TestAuthority } from '../support/certificates.ts';
import { JournalCluster, untilEqual } from '../support/journal-cluster.ts';
import { CLUSTER_TOKEN } from '../support/journal-nodes.ts';
import { put } from '../support/manifest-fixtures.ts';
import { tempFolder } from '../support/temp-folder.ts';

describe('nodes that follow a journal over TLS', function () {
  this.timeout(60_000);

  it('write and follow where both sides show a certificate, and are refused where one does not', async () => {
    await using folder = await tempFolder();
    const authority = await TestAuthority.create(folder.path);
    const ca = await readFile(authority.ca, 'utf8');
    const identity = async (name: string) => {
      const { cert, key } = await authority.sign(name);
      return { cert: await readFile(cert, 'utf8'), key: await readFile(key, 'utf8'), ca };
    };
    await using cluster = new JournalCluster();
    const primary = await cluster.start('n1', undefined, { tls: await identity('n1') });
    const two = await cluster.start('n2', primary.url, { tls: await identity('n2') });
    expect((await two.manifest.commit([put('a')]))[0]?.outcome).to.equal('committed');
    await untilEqual(primary, two);
    await using stranger = new PrimaryClient(primary.url, { token: CLUSTER_TOKEN });
    const known = { term: 0, node: '', url: '' };
    const failure = await stranger.state({ known, node: 'n9' }).catch((error: unknown) => error);
    expect(failure).to.have.property('kind', 'unavailable');
  });
});
