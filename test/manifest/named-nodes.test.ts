import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { manifestCluster } from '../../src/manifest-cluster.ts';
import { TempConfig } from '../config/temp-config.ts';
import { eventually } from '../criteria/eventually.ts';
import { JournalCluster, untilEqual } from '../support/journal-cluster.ts';
import { CLUSTER_TOKEN, type JournalNode } from '../support/journal-nodes.ts';
import { put } from '../support/manifest-fixtures.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

describe('nodes that the configuration names, as the manifest asks them', () => {
  let folder: TempFolder;
  let cluster: JournalCluster;
  let primary: JournalNode;
  beforeEach(async () => {
    folder = await tempFolder();
    cluster = new JournalCluster();
    primary = await cluster.start('n1');
    await primary.manifest.commit([put('a')]);
  });
  afterEach(async () => {
    await cluster[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  it('are shown the token that its file has now, without a restart (H-102)', async () => {
    const tokenFile = join(folder.path, 'token');
    await writeFile(tokenFile, 'one-that-is-not-known\n');
    const settings = { token: 'one-that-is-not-known', tokenFile };
    const two = await cluster.start('n2', primary.url, { settings });
    await eventually('the refusal', () =>
      two.log.lines.some(({ fields }) => JSON.stringify(fields).includes('401')),
    );
    await writeFile(tokenFile, `${CLUSTER_TOKEN}\n`);
    await untilEqual(primary, two);
    // One that is taken away is no reason to forget the last.
    await writeFile(tokenFile, '');
    await primary.manifest.commit([put('b')]);
    await untilEqual(primary, two);
  });

  it('are every address of cluster.dns, so that the primary need not be configured', async () => {
    const port = Number(new URL(primary.url).port);
    const settings = { dns: { host: 'localhost', port, scheme: 'http' as const } };
    const two = await cluster.start('n2', '', { settings });
    await untilEqual(primary, two);
    expect(two.manifest.peers.own.known.node).to.equal('n1');
  });

  it('are taken from the configuration, with the file of the token', async () => {
    await using config = await TempConfig.create();
    await config.write('token', 'a-token\n');
    const text = (more: string): string =>
      `cluster: { token: { file: token }, ${more} }
manifest: { replication: journal, lock: { type: auto } }
fetchers: { site: { type: origin, url: "http://127.0.0.1:3000" } }
rules: [{ name: site, protocol: http, fetch: site }]`;
    const of = async (more: string): Promise<unknown> => {
      await config.write('caje.yaml', text(more));
      const { config: loaded } = await config.load();
      const identity = { nodeId: 'caje-0123456789abcdef', dataDir: folder.path };
      return (await manifestCluster(loaded, identity)).cluster;
    };
    const token = { token: 'a-token', tokenFile: join(config.folder, 'token') };
    const nodes = await of('nodes: ["http://10.0.0.1:8180"]');
    expect(nodes).to.deep.include({ ...token, others: ['http://10.0.0.1:8180/'] });
    const dns = { host: 'caje.internal', port: 8180, scheme: 'http' };
    expect(await of('dns: "caje.internal:8180"')).to.deep.include({ ...token, others: [], dns });
  });
});
