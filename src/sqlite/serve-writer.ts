import { type MessagePort, parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { ProxyError } from '../errors.ts';
import { toErrorRecord } from './thread-error.ts';
import type { FromThread, Reply, ToThread } from './writer-messages.ts';

/** What became of one request of a batch. */
export type WriterResult<Response> = { readonly value: Response } | { readonly error: unknown };

/** Speaks to the owner without being asked. */
export type Notify<Event> = (event: Event) => void;

/** Requests handled at once, at most: bounds how long one transaction runs. */
const MAX_BATCH = 1000;

/**
 * The thread's side of `WriterThread`, for synchronous work: everything that waits (at most 1,000 requests) comes as
 * one batch, so that it can be one transaction. The handler gives one result per request, in order; if it throws, all fail.
 * `close` runs once, after the last batch.
 */
export function serveWriter<Request, Response>(
  handler: (batch: readonly Request[]) => readonly WriterResult<Response>[],
  close: () => void = () => {},
): void {
  const port = ownerPort();
  const handle = (ids: readonly number[], batch: readonly Request[]): void => {
    const replies = run(handler, ids, batch);
    port.postMessage({ replies } satisfies FromThread<Response, never>);
  };
  port.on('message', (message: ToThread<Request>) => {
    let next: ToThread<Request> | undefined = message;
    while (next !== undefined) {
      const ids: number[] = [];
      const batch: Request[] = [];
      let closing = false;
      while (next !== undefined && batch.length < MAX_BATCH && !closing) {
        if ('close' in next) closing = true;
        else {
          const { first, requests }: { first: number; requests: readonly Request[] } = next;
          requests.forEach((request, index) => {
            ids.push(first + index);
            batch.push(request);
          });
          next = waiting(port);
        }
      }
      if (batch.length > 0) handle(ids, batch);
      if (closing) {
        close();
        port.close();
        return;
      }
    }
  });
}

/**
 * The thread's side of `WriterThread`, for work that waits on other things than the database: each request is
 * answered when its promise settles. `close` may still wait for work under way; the thread ends after it.
 */
export function serveRequests<Request, Response, Event = never>(
  handler: (request: Request) => Promise<Response>,
  close: () => Promise<void> = async () => {},
): Notify<Event> {
  const port = ownerPort();
  let replies: Reply<Response>[] = [];
  let events: Event[] = [];
  let isScheduled = false;
  const send = (): void => {
    isScheduled = false;
    if (replies.length === 0 && events.length === 0) return;
    port.postMessage({ replies, events } satisfies FromThread<Response, Event>);
    replies = [];
    events = [];
  };
  // What is said together (one committed group) goes back in one message.
  const schedule = (): void => {
    if (isScheduled) return;
    isScheduled = true;
    setImmediate(send);
  };
  const reply = (answer: Reply<Response>): void => {
    replies.push(answer);
    schedule();
  };
  const finish = async (): Promise<void> => {
    try {
      await close();
      // Answers of what closing settled are on their way through promises.
      await new Promise<void>((resolve) => setImmediate(resolve));
    } finally {
      send();
      port.close();
    }
  };
  port.on('message', (message: ToThread<Request>) => {
    if ('close' in message) return void finish();
    message.requests.forEach((request, index) => {
      const id = message.first + index;
      handler(request).then(
        (value) => reply({ id, value }),
        (error: unknown) => reply({ id, error: toErrorRecord(error) }),
      );
    });
  });
  return (event) => {
    events.push(event);
    schedule();
  };
}

function run<Request, Response>(
  handler: (batch: readonly Request[]) => readonly WriterResult<Response>[],
  ids: readonly number[],
  batch: readonly Request[],
): Reply<Response>[] {
  try {
    const results = handler(batch);
    return ids.map((id, index) => {
      const result = results[index];
      if (result === undefined)
        throw new ProxyError('internal', 'serve-writer.run', 'a request got no result');
      return 'error' in result
        ? { id, error: toErrorRecord(result.error) }
        : { id, value: result.value };
    });
  } catch (error) {
    return ids.map((id) => ({ id, error: toErrorRecord(error) }));
  }
}

function waiting<Request>(port: MessagePort): ToThread<Request> | undefined {
  return (receiveMessageOnPort(port) as { message: ToThread<Request> } | undefined)?.message;
}

function ownerPort(): MessagePort {
  if (parentPort === null)
    throw new ProxyError(
      'internal',
      'serve-writer.port',
      'this module runs in a worker thread only',
    );
  return parentPort;
}
