import type { CallOptions } from './body.ts';

/** What a piece of work may do beside giving its result. */
export interface WorkContext<Item> {
  /** Puts more into the queue, which is then not at its end before that is done too. */
  readonly add: (item: Item) => void;
  /** Aborted when nobody waits for the rest. */
  readonly signal: AbortSignal;
}

/**
 * Works through a queue that may grow meanwhile, some at once, and gives each result as it comes. Nothing new begins for a
 * result that was not taken. A failure ends it; so does leaving the loop, which waits for what runs to stop.
 */
export async function* workThrough<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  concurrency: number,
  work: (item: Item, context: WorkContext<Item>) => Promise<Result>,
  options: CallOptions = {},
): AsyncGenerator<Result> {
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, ...(options.signal ? [options.signal] : [])]);
  const added: Item[] = [];
  const context: WorkContext<Item> = { add: (item) => void added.push(item), signal };
  const source = sourceOf(items);
  const running = new Set<Promise<void>>();
  const done: Result[] = [];
  let failure: { readonly error: unknown } | undefined;
  let ended = false;
  const begin = (item: Item): void => {
    const run = async (): Promise<void> => {
      try {
        done.push(await work(item, context));
      } catch (error) {
        failure ??= { error };
      } finally {
        running.delete(settled);
      }
    };
    const settled = Promise.resolve().then(run);
    running.add(settled);
  };
  try {
    for (;;) {
      signal.throwIfAborted();
      while (running.size + done.length < concurrency) {
        let item = added.shift();
        if (item === undefined && !ended) {
          const next = await source.next();
          if (next.done === true) ended = true;
          else item = next.value;
        }
        if (item === undefined) break;
        begin(item);
      }
      if (done.length === 0 && failure === undefined) {
        if (running.size === 0) return;
        await Promise.race(running);
      }
      yield* done.splice(0);
      if (failure !== undefined) throw failure.error;
    }
  } finally {
    stop.abort();
    await Promise.all(running);
    await source.return(undefined);
  }
}

async function* sourceOf<Item>(items: Iterable<Item> | AsyncIterable<Item>): AsyncGenerator<Item> {
  yield* items;
}
