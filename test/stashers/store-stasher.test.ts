import { withPool } from '../../src/stashers/with-pool.ts';
import { withTimeout } from '../../src/stashers/with-timeout.ts';
import { contentDigestCheck, withVerify } from '../../src/stashers/with-verify.ts';
import { stasherContract } from '../contract/stasher.ts';
import { storePlace, type WrappersOf } from './stasher-place.ts';

const all: WrappersOf = (place) => [
  withVerify(contentDigestCheck, place),
  withTimeout(60_000),
  withPool(64),
];

stasherContract('store over memory', async () => await storePlace('memory'));
stasherContract('store over disk', async () => await storePlace('disk'));
stasherContract(
  'store over memory with every wrapper',
  async () => await storePlace('memory', all),
);
stasherContract('store over disk with every wrapper', async () => await storePlace('disk', all));
