import { ProxyError } from '../errors.ts';

/** The promise, or `timeout` or `aborted` with the message, as the signal says; the work behind it goes on. */
export async function orGivenUp<Result>(
  promise: Promise<Result>,
  signal: AbortSignal,
  op: string,
  message: string,
): Promise<Result> {
  return await new Promise<Result>((resolve, reject) => {
    const giveUp = (): void => {
      const kind = (signal.reason as Error).name === 'TimeoutError' ? 'timeout' : 'aborted';
      reject(new ProxyError(kind, op, message));
    };
    if (signal.aborted) return giveUp();
    signal.addEventListener('abort', giveUp, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp));
  });
}
