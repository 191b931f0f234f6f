import { parseDictionary } from 'structured-headers';
import { ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { EntryDraft } from '../manifest/entry.ts';
import type { Metrics } from '../metrics.ts';
import type { Incoming, Sealed } from '../storage/backend.ts';
import { type StasherWrapper, withStash } from './stasher.ts';

/** Looks at a whole body before it is published. */
export interface BodyCheck {
  /** False: there is nothing to check, which is known from the answer's head. */
  appliesTo(draft: EntryDraft): boolean;
  /** Absent: fine. A text: why it must not be kept. */
  problem(draft: EntryDraft, sealed: Sealed): Promise<string | undefined> | string | undefined;
}

/** Where a check that failed is told. */
export interface VerifyOptions {
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Nothing that fails the check is published: the body seems cut to the inner stasher. */
export function withVerify(check: BodyCheck, { log, metrics }: VerifyOptions): StasherWrapper {
  return (inner) =>
    withStash(inner, async (stashable, options) => {
      const { draft, body } = stashable;
      if (!check.appliesTo(draft)) return await inner.stash(stashable, options);
      let refused: ProxyError | undefined;
      const sealed = verified(draft, body, check, (error) => {
        refused = error;
      });
      sealed.catch(() => undefined);
      try {
        return await inner.stash({ ...stashable, body: sealedBy(body, sealed) }, options);
      } catch (error) {
        if (refused === undefined || error !== refused) throw error;
        metrics.count('stash_failed_total', refused.kind);
        log.warn({ err: refused.message, key: draft.key }, 'a body was served but not kept');
        return undefined;
      }
    });
}

/** The digest that the answer itself declares for its content (Content-Digest, RFC 9530 §2) must be the body's. */
export const contentDigestCheck: BodyCheck = {
  appliesTo: (draft) => draft.headers.has('content-digest'),
  problem: (draft, sealed) => {
    try {
      const field = draft.headers.get('content-digest') ?? '';
      const declared = parseDictionary(field).get('sha-256')?.[0];
      if (!(declared instanceof ArrayBuffer)) return undefined;
      const hex = Buffer.from(declared).toString('hex');
      return hex === sealed.digest
        ? undefined
        : 'the body does not have the digest that Content-Digest declares';
    } catch {
      return undefined;
    }
  },
};

async function verified(
  draft: EntryDraft,
  body: Incoming,
  check: BodyCheck,
  refuse: (error: ProxyError) => void,
): Promise<Sealed> {
  const sealed = await body.sealed;
  const problem = await check.problem(draft, sealed);
  if (problem === undefined) return sealed;
  const error = new ProxyError('integrity', 'stasher.verify', problem);
  refuse(error);
  throw error;
}

function sealedBy(body: Incoming, sealed: Promise<Sealed>): Incoming {
  return {
    sealed,
    expectedSize: body.expectedSize,
    get received() {
      return body.received;
    },
    get bytes() {
      return body.bytes;
    },
    waitForRoom: (room) => body.waitForRoom?.(room),
    open: (options) => body.open(options),
    takeFile: async () => await body.takeFile?.(),
  };
}
