import type { IncomingMessage, ServerResponse } from 'node:http';
import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { HeaderList } from '../../src/headers.ts';
import { createFastPath } from '../../src/http/fast-path.ts';
import { Metrics } from '../../src/metrics.ts';
import { memoryContent } from '../../src/protocol/contents.ts';
import type { ProtocolResponse } from '../../src/protocol/protocol.ts';
import { BodyCache } from '../../src/storage/body-cache.ts';
import { digestOf } from '../../src/storage/digest.ts';
import { openIn, put } from '../support/manifest-fixtures.ts';
import { tempFolder } from '../support/temp-folder.ts';

const BYTES = Buffer.from('k');
const REQUEST = { method: 'GET', url: '/k', headers: { host: 'www.example.com' } };

describe('the fast path', () => {
  it('remembers no answer that a purge took while its body was being opened', async () => {
    await using folder = await tempFolder();
    await using manifest = await openIn(folder.path);
    const cache = new BodyCache();
    const digest = digestOf(BYTES);
    cache.set(digest, BYTES);
    const clock = new SystemClock();
    const fast = createFastPath({
      ...{ manifest, cache, clock, nodeId: 'caje-0123456789abcdef', metrics: new Metrics() },
      access: false,
    });
    const req = REQUEST as unknown as IncomingMessage;
    let served = 0;
    const res = {
      req: { httpVersionMinor: 1 },
      removeHeader: () => {},
      writeHead: () => {},
      end: () => {
        served += 1;
      },
    } as unknown as ServerResponse;
    await manifest.commit([put('k', 0, { digest, size: BYTES.length })]);
    const [entry] = await manifest.lookup('web', 'k');
    if (!entry) throw new Error('the entry is not there');
    const { namespace, key, size, freshUntil, policy } = entry;
    const response: ProtocolResponse = {
      status: 200,
      headers: HeaderList.empty,
      content: memoryContent(BYTES, digest),
      report: { phase: 'hit', ttl: 60 },
      selectable: true,
      replay: { namespace, key, digest, size, freshUntil, until: freshUntil, ...policy },
    };
    fast.note(req, response, 'site');
    expect(fast.serve(req, res)).to.equal(true);
    await manifest.purge({ kind: 'key', value: 'k', soft: false, actor: 'test' });
    // The answer was looked up before the purge and comes by only now.
    fast.note(req, response, 'site');
    expect(fast.serve(req, res)).to.equal(false);
    expect(served).to.equal(1);
    fast.close();
  });
});
