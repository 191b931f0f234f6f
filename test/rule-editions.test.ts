import { expect } from 'chai';
import { z } from 'zod';
import { type ComponentType, componentType } from '../src/component.ts';
import { ComponentRegistry } from '../src/component-registry.ts';
import type { Config } from '../src/config/config.ts';
import { Leases } from '../src/leases.ts';
import { silentLogger } from '../src/log.ts';
import { Metrics } from '../src/metrics.ts';
import { RuleEditions } from '../src/rule-editions.ts';
import { eventually } from './criteria/eventually.ts';
import { FakeClock } from './support/fake-clock.ts';

/** Editions over a fetcher type that notes which of its fetchers were closed. */
async function place(): Promise<{
  readonly editions: RuleEditions;
  readonly clock: FakeClock;
  readonly closed: string[];
  readonly config: (name: string) => Config;
}> {
  const closed: string[] = [];
  const clock = new FakeClock();
  const types: ComponentType[] = [
    componentType({
      kind: 'fetcher',
      type: 'fake',
      options: z.strictObject({}),
      create: (_options, { name }) => ({
        name,
        fetch: async () => await Promise.reject(new Error('never asked')),
        [Symbol.asyncDispose]: async () => void closed.push(name),
      }),
    }),
    componentType({
      kind: 'stasher',
      type: 'fake',
      options: z.strictObject({}),
      create: (_options, { name }) => ({ name, bodies: undefined, refusing: false }),
    }),
    componentType({
      kind: 'protocol',
      type: 'fake',
      options: z.strictObject({}),
      create: (_options, { name }) => ({ name }),
    }),
  ];
  const config = (name: string): Config =>
    ({
      rules: [
        { name: 'all', path: '/*', protocol: 'fake', fetch: [name], stash: 'keep', mode: 'sync' },
      ],
      fetchers: new Map([[name, { name, type: 'fake', options: {} }]]),
      stashers: new Map([['keep', { name: 'keep', type: 'fake', options: {} }]]),
      storage: new Map(),
      trustedProxies: [],
    }) as unknown as Config;
  const base = { clock, log: silentLogger, metrics: new Metrics() };
  const components = new ComponentRegistry({
    ...{ ...base, types, config: config('a'), services: new Map() },
    identity: { dataDir: '/nowhere', nodeId: 'caje-0123456789abcdef' } as never,
  });
  const editions = await RuleEditions.open(
    config('a'),
    {},
    {
      ...{ ...base, components },
      pullThrough: undefined as never,
      manifest: { isReferenced: async () => false },
      listen: { host: '127.0.0.1', port: 80 },
      handlers: ({ config: { fetchers } }) => ({
        ask: () => [...fetchers.keys()],
        list: async function* () {
          yield* fetchers.keys();
          yield* fetchers.keys();
        },
      }),
    },
  );
  return { editions, clock, closed, config };
}

describe('editions of the rules', () => {
  it('closes one that was replaced once nobody uses it, and not before', async () => {
    const { editions, clock, closed, config } = await place();
    const lease = editions.current.leases.take();
    editions.put(await editions.make(config('b'), {}));
    clock.advance(60_000);
    expect(closed).to.deep.equal([]);
    lease[Symbol.dispose]();
    await eventually('it waits for quiet', () => clock.sleeping === 1);
    clock.advance(1_000);
    await eventually('it is closed', () => closed.length === 1);
    expect(closed).to.deep.equal(['a']);
    await editions[Symbol.asyncDispose]();
    expect(closed).to.deep.equal(['a', 'b']);
  });

  it('a command goes by the edition that was in force when it began, which stays open until its end', async () => {
    const { editions, clock, closed, config } = await place();
    const items = (await editions.command('list')(undefined, {})) as AsyncIterable<string>;
    const reading = items[Symbol.asyncIterator]();
    expect(await reading.next()).to.deep.include({ value: 'a' });
    editions.put(await editions.make(config('b'), {}));
    expect(await editions.command('ask')(undefined, {})).to.deep.equal(['b']);
    clock.advance(60_000);
    expect(closed).to.deep.equal([]);
    expect(await reading.next()).to.deep.include({ value: 'a' });
    expect(await reading.next()).to.deep.include({ done: true });
    await eventually('it waits for quiet', () => clock.sleeping === 1);
    clock.advance(1_000);
    await eventually('it is closed', () => closed.length === 1);
    await editions[Symbol.asyncDispose]();
  });

  it('a command whose caller left before its first item keeps nothing open', async () => {
    const { editions, clock, closed, config } = await place();
    const left = new AbortController();
    await editions.command('list')(undefined, { signal: left.signal });
    editions.put(await editions.make(config('b'), {}));
    left.abort();
    await eventually('it waits for quiet', () => clock.sleeping === 1);
    clock.advance(1_000);
    await eventually('it is closed', () => closed.length === 1);
    await editions[Symbol.asyncDispose]();
  });

  it('closes at its own end what is still in use', async () => {
    const { editions, closed, config } = await place();
    editions.current.leases.take();
    editions.put(await editions.make(config('b'), {}));
    await editions[Symbol.asyncDispose]();
    expect(closed).to.deep.equal(['a', 'b']);
  });
});

describe('leases', () => {
  it('are given back once each, whoever waits for the last one learns of it', async () => {
    const leases = new Leases();
    await leases.idle();
    const [first, second] = [leases.take(), leases.take()];
    let idle = false;
    const waiting = leases.idle().then(() => {
      idle = true;
    });
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    await Promise.resolve();
    expect([leases.count, idle]).to.deep.equal([1, false]);
    second[Symbol.dispose]();
    await waiting;
    expect(leases.count).to.equal(0);
  });
});
