import { workerData } from 'node:worker_threads';
import { SystemClock } from '../clock.ts';
import { serveRequests } from '../sqlite/serve-writer.ts';
import { GuestWriter } from './guest-writer.ts';
import { PeerFirstWriter } from './peer-first-writer.ts';
import { ReplicaWriter } from './replica-writer.ts';
import type {
  WriterEvent,
  WriterRequest,
  WriterResponse,
  WriterSettings,
} from './writer-protocol.ts';

/** Stretches every transaction, so that a test can look at the lock meanwhile. */
const DELAY_VARIABLE = 'CAJE_TEST_COMMIT_DELAY_MS';

const notify = serveRequests<WriterRequest, WriterResponse, WriterEvent>(
  (request) => writer.handle(request),
  () => writer.close(),
);

const settings = workerData as WriterSettings;
const context = {
  clock: new SystemClock(),
  notify,
  commitDelayMs: Number(process.env[DELAY_VARIABLE] ?? 0),
};
const { guestOf } = settings.cluster;
const writer = makeWriter();

function makeWriter(): ReplicaWriter | GuestWriter | PeerFirstWriter {
  if (guestOf !== undefined) return new GuestWriter(settings, context, guestOf);
  if (settings.lock === 'peer-litefs') return new PeerFirstWriter(settings, context);
  return new ReplicaWriter(settings, context);
}
