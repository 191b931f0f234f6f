import { expect } from 'chai';
import { OracleOrigin } from '../support/oracle-origin.ts';
import { PeerCluster } from '../support/peer-cluster.ts';

const RUNS = 3;
const CLIENTS = 300;

describe('one fetch for all nodes', function () {
  this.timeout(120_000);
  let origin: OracleOrigin;
  let cluster: PeerCluster;

  before(async () => {
    origin = await OracleOrigin.start();
    cluster = await PeerCluster.start({ originUrl: origin.url });
  });

  after(async () => {
    await cluster[Symbol.asyncDispose]();
    await origin[Symbol.asyncDispose]();
  });

  for (const [name, query] of [
    ['fast', 'size=300000'],
    ['slow', 'size=300000&delay=1500&rate=200000'],
  ] as const) {
    it(`F-82: a cold key asked ${CLIENTS} times on three nodes at once, of a ${name} origin`, async () => {
      for (let run = 0; run < RUNS; run++) {
        const path = `/${name}-${run}?${query}`;
        const answers = await Promise.all(
          Array.from({ length: CLIENTS }, async (_, number) => await cluster.get(number % 3, path)),
        );
        for (const { status, body } of answers) {
          expect(status).to.equal(200);
          const check = origin.check(path, { size: 300_000 });
          check.write(body);
          check.end();
        }
        expect(origin.counts(path).requests, path).to.equal(1);
      }
    });
  }
});
