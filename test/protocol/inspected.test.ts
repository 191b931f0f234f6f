import { expect } from 'chai';
import type { Resource } from '../../src/protocol/resource.ts';
import type { Findings } from '../../src/stashers/body-inspector.ts';
import { openPull, type PullPlace } from './pull-place.ts';

/** The place's answers are of resources whose bodies are looked at until the findings are there. */
function inspect(place: PullPlace, findings: Promise<Findings>): void {
  const { pullThrough } = place;
  const inspector = {
    write: () => undefined,
    end: async () => await findings,
    abort: () => undefined,
  };
  const answer = pullThrough.answer.bind(pullThrough);
  pullThrough.answer = async (resource, supply) => {
    const inspected = new Proxy(resource, {
      get: (target, name) => {
        if (name === 'inspector') return () => inspector;
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    }) as Resource;
    return await answer(inspected, supply);
  };
}

describe('A body that is looked at for long', () => {
  for (const [what, findings] of [
    ['is kept', {}],
    ['is not kept', { problem: 'nobody would take it' }],
  ] as const) {
    it(`is wanted until it is known whether it ${what}`, async () => {
      await using place = await openPull();
      const { promise, resolve } = Promise.withResolvers<Findings>();
      inspect(place, promise);
      const { content } = await place.ask('/looked-at?size=3000000');
      if (content === undefined) throw new Error('it has no body');
      for await (const _ of content.open());
      const digest = await content.sealedDigest;
      if (digest === undefined) throw new Error('it was cut');
      expect(await place.manifest.isReferenced(digest)).to.equal(true);
      resolve(findings);
      await place.settled();
      expect(await place.manifest.isReferenced(digest)).to.equal(what === 'is kept');
    });
  }
});
