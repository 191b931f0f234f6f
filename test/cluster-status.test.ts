import { expect } from 'chai';
import type { NodeStatus } from '../src/cluster-schemas.ts';
import { behindOf } from '../src/cluster-status.ts';

function status(over: Partial<NodeStatus>): NodeStatus {
  return {
    nodeId: 'caje-0000000000000000',
    version: '1.2.3',
    roles: [],
    draining: false,
    replication: 'replica',
    lock: 'peer',
    term: 0,
    trusted: true,
    positions: {},
    knows: [],
    ...over,
  };
}

describe('behindOf', () => {
  const primary = status({
    positions: { web: { cursor: 'aa:10', at: 5000 }, go: { cursor: 'bb:7', at: 9000 } },
    litefs: { txid: '300', primary: '' },
  });

  it('adds up the changes of all namespaces, and takes the greatest time', () => {
    const node = status({
      positions: { web: { cursor: 'aa:8', at: 4000 }, go: { cursor: 'bb:3', at: 2000 } },
    });
    expect(behindOf(node, primary)).to.include({ changes: 6, ms: 7000 });
  });

  it('counts a namespace that is not there yet from its start, and one of another epoch not at all', () => {
    const without = status({ positions: { web: { cursor: 'aa:10', at: 5000 } } });
    expect(behindOf(without, primary)).to.include({ changes: 7, ms: 9000 });
    const other = status({
      positions: { ...primary.positions, web: { cursor: 'cc:99', at: 4900 } },
    });
    expect(behindOf(other, primary)).to.include({ changes: undefined, ms: 100 });
  });

  it('is level for one that is further than the primary was when it was asked', () => {
    const node = status({
      positions: { web: { cursor: 'aa:12', at: 5100 }, go: { cursor: 'bb:7', at: 9000 } },
      litefs: { txid: '290', primary: 'n1' },
    });
    expect(behindOf(node, primary)).to.deep.equal({ changes: 0, ms: 0, transactions: 10 });
  });
});
