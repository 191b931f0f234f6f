import type { Socket } from 'node:net';
import { buildConnector } from 'undici';
import { giveBack, READ_BYTES, takeReadBuffer } from '../young-memory.ts';

/** What a read brings without all this. What is left of a buffer is read into as long as it is this much. */
const USUAL_BYTES = 64 * 1024;

/**
 * Connects without TLS and reads much at a time, into memory of `takeReadBuffer`: the usual 64 KiB of fresh memory are four times
 * as many system calls and steps for a large body. What comes in little is copied, so that it holds no more memory than it is long.
 * Options as undici's own.
 */
export function largeReads(options: buildConnector.BuildOptions): buildConnector.connector {
  return (target, callback) => {
    let socket: Socket | undefined;
    let room: Buffer = Buffer.alloc(0);
    const onread = {
      buffer: (): Buffer => {
        if (room.length < USUAL_BYTES) {
          giveBack(room);
          room = takeReadBuffer();
        }
        return room;
      },
      callback: (size: number): boolean => {
        const read = room.subarray(0, size);
        if (size >= USUAL_BYTES) room = room.subarray(size);
        return socket?.push(size < USUAL_BYTES ? copyOf(read) : read) ?? false;
      },
    };
    // One for each connection, since the memory is; without TLS connections share nothing.
    const connect = buildConnector({ ...options, highWaterMark: READ_BYTES, onread } as object);
    connect(target, (...[error, connected]) => {
      socket = connected ?? undefined;
      if (error === null) callback(null, connected as Socket);
      else callback(error, null);
    });
  };
}

function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}
