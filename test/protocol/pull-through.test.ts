import { type ProtocolFixture, protocolContract } from '../contract/protocol.ts';
import { protocolFaultContract } from '../contract/protocol-faults.ts';
import { openPull } from './pull-place.ts';

const http: ProtocolFixture = {
  open: async () => await openPull(),
  target: (number) => `/page/${number}`,
};
const go: ProtocolFixture = {
  open: async () => await openPull({ protocol: 'go' }),
  target: (number) => `/example.com/mod/@v/v1.0.${number}.zip`,
};

protocolContract('http', http);
protocolContract('go', go);
protocolFaultContract('http', http);
protocolFaultContract('go', go);
