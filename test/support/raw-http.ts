import { connect, type Socket } from 'node:net';

/** What came back on a connection until it was closed by the other side, or by us after `until` matched. */
export interface RawExchange {
  /** Everything received, as latin1. */
  readonly text: string;
  /** True: the other side closed it. */
  readonly closed: boolean;
  /** Set when it was reset instead of closed. */
  readonly reset: boolean;
}

/** Writes bytes to a loopback port and reads until the connection ends, or until the text received matches `until`. */
export async function rawExchange(
  port: number,
  message: string,
  until?: RegExp,
): Promise<RawExchange> {
  const { promise, resolve } = Promise.withResolvers<RawExchange>();
  const socket = connect(port, '127.0.0.1');
  let text = '';
  let reset = false;
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    if (until?.test(text) === true) {
      resolve({ text, closed: false, reset: false });
      socket.destroy();
    }
  });
  socket.on('error', () => {
    reset = true;
  });
  socket.on('close', () => resolve({ text, closed: true, reset }));
  socket.write(Buffer.from(message, 'latin1'));
  return await promise;
}

/** An open connection to a loopback port. */
export async function rawConnect(port: number): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect(port, '127.0.0.1', resolve);
  socket.once('error', reject);
  await promise;
  socket.off('error', reject).on('error', () => {});
  return socket;
}

/** Status codes of the answers in a text, in order. */
export function statuses(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
}
