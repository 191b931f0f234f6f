import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Body, OpenOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import type { Fetched } from '../fetchers/fetcher.ts';
import type { Fill } from '../stashers/fill.ts';
import type { Getter, Opened } from '../storage/backend.ts';
import { parseDigest } from '../storage/digest.ts';
import type { Content } from './protocol.ts';

/** A body that lies in memory, whole and verified. */
export function memoryContent(bytes: Buffer, digest?: string | undefined): Content {
  return {
    size: bytes.length,
    bytes,
    seekable: true,
    digest,
    open: (options) => bytesBody(bytes, options),
    close: () => {},
  };
}

/** A stored body whose first block is already checked. A range is opened when it is asked for. */
export function storedContent(opened: Opened, getter: Getter): Content {
  let unused = true;
  return {
    size: opened.size,
    bytes: opened.bytes,
    seekable: true,
    digest: opened.digest,
    blocks: opened.blocks,
    open: (options = {}) => {
      if (options.range === undefined && unused) {
        unused = false;
        return opened.body;
      }
      return lateBody(async () => {
        const again = await getter.open(parseDigest(opened.digest), options);
        if (!again)
          throw new ProxyError(
            'integrity',
            'content.open',
            'the body went away while it was being read',
          );
        return again.body;
      });
    },
    close: () => {
      if (unused) opened.body.destroy();
    },
  };
}

/** A body that is still arriving and that others may share; where its size is known, in part too, as it grows. */
export function fillContent(fill: Fill): Content {
  const release = fill.hold();
  return {
    size: fill.expectedSize,
    seekable: fill.expectedSize !== undefined,
    sealedDigest: fill.sealedDigest,
    open: (options) => {
      const body = fill.openForClient(options);
      // Between two ranges nobody reads, and the fill must not be given up for it.
      if (options?.range === undefined) release();
      return body;
    },
    close: release,
  };
}

/** A body that goes to one client and nowhere else. */
export function fetchedContent(fetched: Fetched): Content | undefined {
  const length = fetched.headers.get('content-length');
  return {
    size: length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : undefined,
    seekable: false,
    open: () => fetched.body,
    close: () => {
      fetched.body.destroy();
    },
  };
}

function bytesBody(bytes: Buffer, options: OpenOptions = {}): Body {
  const { range } = options;
  const body = new PassThrough();
  body.end(range ? bytes.subarray(range.start, range.end + 1) : bytes);
  return body;
}

// `open` of a Content is synchronous, a backend's is not.
function lateBody(open: () => Promise<Body>): Body {
  const out = new PassThrough();
  const run = async (): Promise<void> => {
    const body = await open();
    if (out.destroyed) body.destroy();
    else await pipeline(body, out);
  };
  run().catch((error: unknown) => out.destroy(error as Error));
  return out;
}
