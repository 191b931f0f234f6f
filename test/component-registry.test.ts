import { expect } from 'chai';
import { z } from 'zod';
import { SystemClock } from '../src/clock.ts';
import {
  type ComponentContext,
  type ComponentKind,
  type ComponentType,
  componentType,
  type ServiceKey,
} from '../src/component.ts';
import { ComponentRegistry } from '../src/component-registry.ts';
import type { ComponentConfig, Config } from '../src/config/config.ts';
import { kindOf, messageOf } from '../src/errors.ts';
import { Metrics } from '../src/metrics.ts';
import { failureOf } from './contract/backend-fixture.ts';
import { RecordedLog } from './support/recorded-log.ts';

const SERVICE: ServiceKey<string> = { description: 'a word' };

/** What a component of these tests is made of. */
interface Part {
  readonly name: string;
  readonly uses: readonly unknown[];
}

describe('ComponentRegistry', () => {
  let made: string[];
  let closed: string[];
  let log: RecordedLog;

  beforeEach(() => {
    made = [];
    closed = [];
    log = new RecordedLog();
  });

  /** `uses` is asked for one after the other, `beside` all at once. */
  function partType(kind: ComponentKind, broken = false): ComponentType {
    return componentType({
      kind,
      type: 'part',
      options: z.strictObject({
        uses: z.array(z.string()).default([]),
        beside: z.array(z.string()).default([]),
      }),
      async create({ uses, beside }, context): Promise<Part & AsyncDisposable> {
        const get = async (name: string): Promise<unknown> => await context.component(kind, name);
        const parts: unknown[] = await Promise.all(beside.map(get));
        for (const name of uses) parts.push(await get(name));
        made.push(context.name);
        return {
          name: context.name,
          uses: parts,
          [Symbol.asyncDispose]: async () => {
            closed.push(context.name);
            if (broken) throw new Error(`${context.name} does not close`);
          },
        };
      },
    });
  }

  function registry(
    stashers: Readonly<Record<string, object>>,
    types: readonly ComponentType[] = [partType('stasher')],
  ): ComponentRegistry {
    const named = Object.entries(stashers).map(([name, options]): [string, ComponentConfig] => [
      name,
      { name, type: 'part', options: { uses: [], beside: [], ...options }, ...options },
    ]);
    const config = {
      ...{ storage: new Map(), fetchers: new Map(), baseDir: '/etc/caje' },
      stashers: new Map(named),
    } as unknown as Config;
    const identity = { nodeId: 'caje-00000000000000aa', dataDir: '/var/caje' };
    const services = new Map<ServiceKey<unknown>, unknown>([[SERVICE, 'hello']]);
    const parts = { clock: new SystemClock(), log, metrics: new Metrics(), types, services };
    return new ComponentRegistry({ config, identity, ...parts } as never);
  }

  it('makes each component once, those that it uses before it', async () => {
    const components = registry({ a: { uses: ['b', 'c'] }, b: { uses: ['c'] }, c: {} });
    const [first, again] = await Promise.all([
      components.component<Part>('stasher', 'a'),
      components.component<Part>('stasher', 'a'),
    ]);
    expect(again).to.equal(first);
    expect(made).to.deep.equal(['c', 'b', 'a']);
    expect(first.uses[1]).to.equal(await components.component('stasher', 'c'));
    expect(components.made('stasher').map(([name]) => name)).to.deep.equal(['c', 'b', 'a']);
    expect(components.made('backend')).to.deep.equal([]);
  });

  it('makes nothing that is not asked for', async () => {
    const components = registry({ a: {}, b: {} });
    await components.component('stasher', 'b');
    expect(made).to.deep.equal(['b']);
  });

  it('closes what it made, the last one first, each once', async () => {
    const components = registry({ a: { uses: ['b'] }, b: {} });
    await components.component('stasher', 'a');
    await components[Symbol.asyncDispose]();
    await components[Symbol.asyncDispose]();
    expect(closed).to.deep.equal(['a', 'b']);
  });

  it('closes the others when one does not close, and says so', async () => {
    const components = registry({ a: { uses: ['b'] }, b: {} }, [partType('stasher', true)]);
    await components.component('stasher', 'a');
    await components[Symbol.asyncDispose]();
    expect(closed).to.deep.equal(['a', 'b']);
    expect(log.lines.map(({ level, fields }) => [level, fields['component']])).to.deep.equal([
      ['warn', 'stasher a'],
      ['warn', 'stasher b'],
    ]);
  });

  it('closes once what another hands on as its own', async () => {
    const alias: ComponentType = componentType({
      kind: 'stasher',
      type: 'alias',
      options: z.unknown(),
      create: async (_options, context) => await context.component('stasher', 'a'),
    });
    const components = registry({ x: { type: 'alias' }, a: {} }, [partType('stasher'), alias]);
    expect(await components.component('stasher', 'x')).to.include({ name: 'a' });
    await components[Symbol.asyncDispose]();
    expect(closed).to.deep.equal(['a']);
  });

  for (const [what, stashers, circle] of [
    ['of one', { a: { uses: ['a'] } }, 'stasher a → stasher a'],
    [
      'of three',
      { a: { uses: ['b'] }, b: { uses: ['c'] }, c: { uses: ['a'] } },
      'stasher a → stasher b → stasher c → stasher a',
    ],
  ] as const) {
    it(`names a circle ${what} instead of waiting for it`, async () => {
      const failure = await failureOf(registry(stashers).component('stasher', 'a'));
      expect(kindOf(failure)).to.equal('invalid');
      expect(messageOf(failure)).to.equal(`a circle: ${circle}`);
    });
  }

  it('names a circle whose members are made at the same time', async () => {
    const components = registry({
      top: { beside: ['a', 'b'] },
      a: { uses: ['b'] },
      b: { uses: ['a'] },
    });
    const failure = await failureOf(components.component('stasher', 'top'));
    expect(kindOf(failure)).to.equal('invalid');
    expect(messageOf(failure)).to.match(/^a circle: .*stasher a.*stasher b/);
  });

  it('makes what two use at the same time once, where there is no circle', async () => {
    const components = registry({
      top: { beside: ['a', 'b', 'c'] },
      a: { uses: ['c'] },
      b: { uses: ['a', 'c'] },
      c: {},
    });
    await components.component('stasher', 'top');
    expect(made.toSorted()).to.deep.equal(['a', 'b', 'c', 'top']);
  });

  it('says what there is not: a name, a type, a service', async () => {
    const asking: ComponentType = componentType({
      kind: 'stasher',
      type: 'asking',
      options: z.unknown(),
      create: (_options, context) => context.service({ description: 'a thing nobody has' }),
    });
    const components = registry({ a: { type: 'other' }, b: { type: 'asking' } }, [asking]);
    const messages = await Promise.all(
      ['x', 'a', 'b'].map(async (name) =>
        messageOf(await failureOf(components.component('stasher', name))),
      ),
    );
    expect(messages).to.deep.equal([
      'there is no stasher x',
      'there is no stasher type other',
      'there is no service a thing nobody has',
    ]);
  });

  it('gives each its name, folders and log, and a protocol the services of its rule', async () => {
    let given: ComponentContext | undefined;
    const extra: ServiceKey<number> = { description: 'a number' };
    const spying: ComponentType = componentType({
      kind: 'protocol',
      type: 'spying',
      options: z.unknown(),
      create: (_options, context) => {
        given = context;
        context.log.info({}, 'made');
        return [context.service(SERVICE), context.service(extra)];
      },
    });
    const components = registry({}, [spying]);
    const services = new Map<ServiceKey<unknown>, unknown>([[extra, 7]]);
    const protocol = await components.protocol('spying', 'site', {}, services);
    expect(protocol).to.deep.equal(['hello', 7]);
    expect([given?.name, given?.dataDir, given?.baseDir, given?.nodeId]).to.deep.equal([
      'site',
      '/var/caje',
      '/etc/caje',
      'caje-00000000000000aa',
    ]);
    expect(log.lines[0]?.fields).to.deep.equal({ protocol: 'site' });
  });
});
