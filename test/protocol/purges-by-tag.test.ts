import { expect } from 'chai';
import type { Rule } from '../../src/config/config.ts';
import type { HeaderLine } from '../../src/headers.ts';
import { MAX_TAGS } from '../../src/manifest/entry-tags.ts';
import { pinnedBodies } from '../../src/pinned-bodies.ts';
import type { Digest } from '../../src/storage/digest.ts';
import { gate, openPull, type PullOptions, type PullPlace } from './pull-place.ts';

const OK: HeaderLine = ['Cache-Control', 'max-age=3600'];

describe('purges by tag', () => {
  let place: PullPlace;

  /** The origin gives each key the tags of its query: `/a?x+y`. */
  async function open(options: PullOptions = {}): Promise<void> {
    place = await openPull(options);
    place.behave = ({ key }) => ({
      headers: [OK, ['Surrogate-Key', (key.split('?')[1] ?? '').replaceAll('+', ' ')]],
    });
  }

  async function purge(tag: string, soft = false): Promise<number> {
    const { namespace } = place;
    const wanted = { kind: 'tag', value: tag, namespace, soft, actor: 'test' } as const;
    return (await place.purger.purge(wanted)).entries;
  }

  async function phase(target: string): Promise<string> {
    return (await place.getSettled(target)).report.phase;
  }

  beforeEach(async () => await open());
  afterEach(async () => await place[Symbol.asyncDispose]());

  it('take what has the tag and leave the rest', async () => {
    for (const target of ['/a?x+y', '/b?x', '/c?y', '/d']) await phase(target);
    expect(await purge('x')).to.equal(2);
    expect(await Promise.all(['/a?x+y', '/b?x', '/c?y', '/d'].map(phase))).to.deep.equal([
      ...['miss', 'miss', 'hit', 'hit'],
    ]);
    place.clock.advance(1);
    expect(await purge('y', true)).to.equal(2);
    expect(await Promise.all(['/a?x+y', '/b?x', '/c?y'].map(phase))).to.deep.equal([
      ...['revalidated', 'hit', 'revalidated'],
    ]);
  });

  it('win over a fill that began before, and leave others as they are', async () => {
    const heads = gate();
    const behaviour = place.behave;
    place.behave = (request, number) => ({ ...behaviour(request, number), delay: heads.opened });
    const asked = [place.get('/a?x'), place.get('/b?y')];
    await place.origin.asked(2);
    await purge('x');
    place.behave = behaviour;
    // Whether the first one has the tag is not known yet, so nobody joins it.
    expect((await place.get('/a?x')).report.collapsed).to.equal(undefined);
    heads.open();
    await Promise.all(asked);
    await place.settled();
    expect(await phase('/b?y')).to.equal('hit');
    expect(place.origin.counts('/a?x').requests).to.equal(2);
  });

  it('let nobody join a body on its way that has the tag, and who asks for another join', async () => {
    const rest = gate();
    const behaviour = place.behave;
    place.behave = (request, number) => ({
      ...behaviour(request, number),
      size: 5_000,
      ...(number === 1 && { pause: { at: 2_000, until: rest.opened } }),
    });
    const first = [await place.ask('/a?x'), await place.ask('/b?y')];
    await purge('x');
    const [again, other] = [await place.ask('/a?x'), await place.ask('/b?y')];
    expect([again?.report.collapsed, other?.report.collapsed]).to.deep.equal([undefined, true]);
    rest.open();
    for (const { content } of [...first, again, other]) content?.open().resume();
    await place.settled();
    expect(await place.entries('/b?y')).to.have.length(1);
    for (const entry of await place.entries('/a?x')) expect(entry.jid).to.be.greaterThan(1);
  });

  it('follow the tags of a 304, and do not need those of an answer that confirms without', async () => {
    await phase('/a?x');
    place.clock.advance(3_601_000);
    place.behave = () => ({ headers: [OK, ['Surrogate-Key', 'z']] });
    expect(await phase('/a?x')).to.equal('revalidated');
    expect(await purge('x')).to.equal(0);
    place.clock.advance(3_601_000);
    place.behave = () => ({ headers: [OK] });
    expect(await phase('/a?x')).to.equal('revalidated');
    expect(await purge('z')).to.equal(1);
  });

  it('hide the fields from clients where the rule says so', async () => {
    await place[Symbol.asyncDispose]();
    await open({ settings: { tags: 'strip' } });
    for (const expected of ['miss', 'hit']) {
      const { report, headers } = await place.getSettled('/a?x');
      expect([report.phase, headers.has('surrogate-key')]).to.deep.equal([expected, false]);
    }
    expect((await place.entries('/a?x'))[0]?.headers.get('surrogate-key')).to.equal('x');
    expect(await purge('x')).to.equal(1);
  });

  it('count the tags that are beyond the limits', async () => {
    const tags = Array.from({ length: MAX_TAGS + 2 }, (_, index) => `t${index}`);
    await phase(`/a?${tags.join('+')}`);
    expect(place.metrics.value('tags_dropped_total')).to.equal(2);
    expect([await purge(`t${MAX_TAGS}`), await purge('t0')]).to.deep.equal([0, 1]);
  });

  it('have to do with pins: a body that a row with a pinned tag of its rule names stays', async () => {
    for (const target of ['/a?x', '/b?y', '/c?x+y']) await phase(target);
    const digestOf = async (target: string) => (await place.entries(target))[0]?.digest as Digest;
    const digests = await Promise.all(['/a?x', '/b?y', '/c?x+y'].map(digestOf));
    const pinned = async (pin: Rule['pin'], name = 'site') => {
      const pins = pinnedBodies(place.manifest, { rules: [{ name, pin }] });
      const found = await pins.pinnedAmong(digests);
      return digests.map((digest) => found.has(digest));
    };
    expect(await pinned({ tags: ['x'] })).to.deep.equal([true, false, true]);
    expect(await pinned({ tags: ['none', 'y'] })).to.deep.equal([false, true, true]);
    expect(await pinned({ tags: ['x'] }, 'other')).to.deep.equal([false, false, false]);
    expect(await pinned(true)).to.deep.equal([true, true, true]);
    await purge('y');
    expect(await pinned({ tags: ['x'] })).to.deep.equal([true, false, false]);
  });
});
