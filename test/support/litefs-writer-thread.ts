import { workerData } from 'node:worker_threads';
import { SystemClock } from '../../src/clock.ts';
import { ManifestWriter } from '../../src/manifest/manifest-writer.ts';
import type {
  LocalRequest,
  WriterEvent,
  WriterResponse,
  WriterSettings,
} from '../../src/manifest/writer-protocol.ts';
import { serveRequests } from '../../src/sqlite/serve-writer.ts';

/** The manifest's writer alone, without the other parts of a node. */
const notify = serveRequests<LocalRequest, WriterResponse, WriterEvent>(
  (request) => writer.handle(request),
  () => writer.close(),
);

const writer = new ManifestWriter(workerData as WriterSettings, {
  clock: new SystemClock(),
  notify,
  commitDelayMs: Number(process.env['CAJE_TEST_COMMIT_DELAY_MS'] ?? 0),
});
