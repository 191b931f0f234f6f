import { expect } from 'chai';
import { ClusterNodes, type ClusterOptions } from '../../src/fetchers/cluster-nodes.ts';
import { eventually } from '../criteria/eventually.ts';
import { RecordedLog } from '../support/recorded-log.ts';
import { type FakeNode, NODE_TOKEN, startNode } from './fake-node.ts';
import { base } from './requests.ts';

const KEYS = Array.from({ length: 100 }, (_, number) => `key ${number}`);

describe('ClusterNodes', () => {
  let self: FakeNode;
  let other: FakeNode;
  let third: FakeNode;
  let nodes: ClusterNodes | undefined;
  let log: RecordedLog;
  let parts = base('owner');

  beforeEach(async () => {
    [self, other, third] = [await startNode('0'), await startNode('1'), await startNode('2')];
    log = new RecordedLog();
    parts = base('owner');
  });
  afterEach(async () => {
    await nodes?.[Symbol.asyncDispose]();
    for (const node of [self, other, third]) await node[Symbol.asyncDispose]();
  });

  const open = async (options: Partial<ClusterOptions> = {}): Promise<ClusterNodes> => {
    nodes = new ClusterNodes({
      ...{ ...parts, log, selfId: self.id, isAsked: true, roundMs: 50 },
      place: { urls: [self, other].map(({ url }) => new URL(url)) },
      readToken: async () => NODE_TOKEN,
      ...options,
    });
    await nodes.start();
    return nodes;
  };
  const standings = (): string[] => (nodes?.nodes ?? []).map(({ standing }) => standing);
  /** Who owns something, by address. */
  const owners = (): string[] => {
    const first = KEYS.map((key) => nodes?.owners(key)[0]);
    return [
      ...new Set(first.map((owner) => (typeof owner === 'object' ? owner.url : String(owner)))),
    ].sort();
  };
  const told = (): string[] => log.lines.map(({ level, message }) => `${level}: ${message}`);

  it('recognises its own address among those listed', async () => {
    await open();
    expect(standings()).to.deep.equal(['self', 'live']);
    expect(owners()).to.deep.equal([other.url, 'self'].sort());
  });

  it('owns everything where nobody else can be used', async () => {
    await other[Symbol.asyncDispose]();
    await open();
    expect(standings()).to.deep.equal(['self', 'down']);
    expect(owners()).to.deep.equal(['self']);
  });

  it('owns nothing where the others do not know of it', async () => {
    await open({ place: { urls: [new URL(other.url)] } });
    expect(owners()).to.deep.equal([other.url]);
    expect(told()).to.include(
      'warn: this node is not among the nodes of the cluster, so the others do not ask it',
    );
  });

  it('owns nothing where nobody can ask it', async () => {
    await open({ isAsked: false });
    expect(owners()).to.deep.equal([other.url]);
  });

  it('leaves out a node that fails, and has it again once it answers', async function () {
    this.timeout(20_000);
    const opened = await open();
    opened.nodes[1]?.failed(new Error('gone'));
    expect(owners()).to.deep.equal(['self']);
    await eventually('the node again', () => opened.nodes[1]?.standing === 'live');
    expect(owners()).to.deep.equal([other.url, 'self'].sort());
    const lines = told().filter((line) => /cannot be used|is there/.test(line));
    expect(lines).to.deep.equal([
      'info: a node of the cluster is there',
      'warn: a node of the cluster cannot be used',
      'info: a node of the cluster is there',
    ]);
    expect(parts.metrics.value('peers_down_total')).to.equal(1);
  });

  const unusable: readonly (readonly [string, () => void, RegExp])[] = [
    [
      'speaks another protocol',
      () => (other.node = { ...other.node, protocol: 2 }),
      /peer protocol 2/,
    ],
    ['is stopping', () => (other.node = { ...other.node, draining: true }), /stopping/],
    ['says nothing sensible', () => (other.node = 'node' as never), /not that of a caje node/],
  ];
  for (const [what, change, why] of unusable) {
    it(`does not use a node that ${what}, and says why once`, async () => {
      change();
      const opened = await open();
      expect(standings()).to.deep.equal(['self', 'down']);
      expect(opened.nodes[1]?.problem).to.match(why);
      expect(told().filter((line) => line.startsWith('warn'))).to.have.lengthOf(1);
    });
  }

  it('does not use a node that refuses its token, until it shows another', async function () {
    this.timeout(20_000);
    let token = 'wrong';
    await open({ readToken: async () => token });
    expect(standings()).to.deep.equal(['down', 'down']);
    expect(nodes?.nodes[1]?.problem).to.include('refused our token');
    token = NODE_TOKEN;
    await eventually('the nodes', () => standings().join() === 'self,live');
  });

  it('goes on with the token it has where the file cannot be read', async function () {
    this.timeout(20_000);
    let isThere = true;
    await open({
      readToken: async () => {
        if (isThere) return NODE_TOKEN;
        throw new Error('no such file');
      },
    });
    isThere = false;
    await eventually('the line', () =>
      told().includes('error: the token for the cluster cannot be read'),
    );
    expect(standings()).to.deep.equal(['self', 'live']);
  });

  it('follows the addresses of a name', async function () {
    this.timeout(30_000);
    const port = Number(new URL(self.url).port);
    let addresses = ['127.0.0.1', '127.0.0.1'];
    let failing = false;
    const opened = await open({
      place: { name: 'nodes.internal', port, scheme: 'http' },
      resolve: async () => {
        if (failing) throw new Error('no name service');
        return addresses;
      },
    });
    expect(opened.nodes.map(({ url }) => url)).to.deep.equal([self.url]);
    expect(standings()).to.deep.equal(['self']);
    addresses = ['127.0.0.1', '::1'];
    await eventually('both addresses', () => opened.nodes.length === 2);
    expect(opened.nodes[1]?.url).to.equal(`http://[::1]:${port}`);
    failing = true;
    await eventually('the line', () =>
      told().includes('warn: the nodes of the cluster cannot be looked up'),
    );
    expect(opened.nodes).to.have.lengthOf(2);
    failing = false;
    addresses = ['127.0.0.1'];
    await eventually('one address', () => opened.nodes.length === 1);
    expect(told()).to.include('info: a node left the cluster');
  });

  it('looks a name up as the system does', async () => {
    await open({
      place: { name: 'localhost', port: Number(new URL(self.url).port), scheme: 'http' },
    });
    expect(nodes?.nodes.map(({ url }) => url)).to.include(self.url);
  });
});
