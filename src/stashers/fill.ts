import type { Body, OpenOptions } from '../body.ts';
import { kindOf, ProxyError } from '../errors.ts';
import type { Fetched } from '../fetchers/fetcher.ts';
import type { Metrics } from '../metrics.ts';
import type { Incoming, Sealed } from '../storage/backend.ts';
import { SMALL_BODY } from '../storage/small-body.ts';
import { isReadBuffer, passedThrough } from '../young-memory.ts';
import type { BodyInspector, Findings } from './body-inspector.ts';
import { type BodyChecks, checkDigest, countBody, passBody } from './body-steps.ts';
import { asProxyError, contentLength, expected, isHashedBehind } from './fill-checks.ts';
import { Spool } from './spool.ts';
import type { SpoolFolder } from './spool-folder.ts';

/** A fill whose last client left goes on if the whole is at most this large. Bytes. */
const FINISH_SMALL = 10 * 1024 * 1024;

/** … or if at most this share of it is still to come. */
const FINISH_SHARE = 0.25;

export interface FillOptions {
  readonly folder: SpoolFolder;
  readonly metrics: Metrics;
  /** Bytes after which the body is passed on but no longer kept. */
  readonly maxBytes: number;
  /** SHA-256 in hex that this body must have, besides what the sender promises. Absent: any. */
  readonly pinned?: string | undefined;
  /** True: no client began it, so it goes on without one. */
  readonly behind?: boolean | undefined;
  /** Looks at the body on its way. Absent: nobody does. */
  readonly inspector?: BodyInspector | undefined;
  /** Throws why the last byte must not leave, given what the inspector found. Absent: nothing is asked. */
  readonly confirm?: ((findings: Findings) => Promise<void>) | undefined;
  /** Called with what speaks against keeping a body that went out whole. */
  onProblem?(problem: string): void;
  /** Called when the digest is another than the pinned or promised one. */
  onMismatch?(kind: 'pinned' | 'promised', found: string, expected: string): void;
}

/**
 * One running fetch of one body, spooled once: every client reads it from byte 0 while it grows, and so does the stasher.
 * No client can slow or stop it; it is given up only when nobody is left who wants it and much is still to come.
 */
export class Fill implements Incoming {
  readonly sealed: Promise<Sealed>;
  readonly expectedSize: number | undefined;
  /** SHA-256 in hex once the body is whole; absent when it was cut. Never rejects. */
  readonly sealedDigest: Promise<string | undefined>;
  /** What the inspector found; absent: none looked, or the body was cut. Never rejects. */
  readonly findings: Promise<Findings | undefined>;
  /** Fed as the body arrives; one that may take its time reads behind instead. */
  readonly #inspector: BodyInspector | undefined;
  #inspecting: Body | undefined;
  readonly #spool: Spool;
  readonly #body: Body;
  readonly #metrics: Metrics;
  readonly #isHashedBehind: boolean;
  #clients = 0;
  #keepers = 0;
  #over = false;
  #gaveUp = false;
  #whole: Sealed | undefined;
  #keepFailed!: (error: ProxyError) => void;

  constructor(fetched: Fetched, options: FillOptions) {
    this.#metrics = options.metrics;
    this.#body = fetched.body;
    this.expectedSize = contentLength(fetched);
    const { inspector, confirm } = options;
    const isSmall = this.expectedSize !== undefined && this.expectedSize <= SMALL_BODY;
    const inline = isSmall || confirm !== undefined;
    this.#inspector = inline ? inspector : undefined;
    const verified =
      fetched.promisedDigest !== undefined ||
      options.pinned !== undefined ||
      options.confirm !== undefined;
    this.#isHashedBehind =
      options.pinned === undefined &&
      confirm === undefined &&
      isHashedBehind(fetched, this.expectedSize);
    const kept = new Promise<never>((_, reject) => {
      this.#keepFailed = reject;
    });
    kept.catch(() => undefined);
    this.#spool = new Spool({
      folder: options.folder,
      holdBack: verified,
      isHashed: this.#isHashedBehind,
      isGivenBack: this.#inspector === undefined,
      onGivenUp: (error) => {
        if (error.kind !== 'too-large') this.#metrics.count('spool_full_total');
        this.#keepFailed(error);
        // What is not kept need not be looked at, least of all at the pace of whoever looks.
        this.#inspecting?.destroy();
        this.#reconsider();
      },
    });
    // Those who waited for the head open the body in a moment; until then nobody counts as gone.
    const first = this.hold();
    if (options.behind !== true) setImmediate(first);
    const { promise: found, resolve: resolveFound } = Promise.withResolvers<Findings | undefined>();
    this.findings = found;
    if (inspector && !inline) void this.#inspectBehind(inspector).then(resolveFound);
    const whole = this.#run(fetched, options, inline || !inspector ? resolveFound : undefined);
    // Storing may be given up long before the body ends, and the stasher must not wait for the end to learn it.
    this.sealed = Promise.race([this.#approved(whole, options), kept]);
    this.sealed.catch(() => undefined);
    this.sealedDigest = whole.then(
      (sealed) => sealed.digest,
      () => undefined,
    );
  }

  /** False: the first bytes are gone, or the body was cut or given up, so nobody new may read it. */
  get joinable(): boolean {
    return this.#spool.joinable && !this.#gaveUp;
  }

  get bytes(): Buffer | undefined {
    return this.#spool.bytes;
  }

  /** What the body was sealed as. Absent: it is still growing, or was cut. */
  get whole(): Sealed | undefined {
    return this.#whole;
  }

  // Small bodies leave little behind, and a collection costs more than they do.
  get #isLarge(): boolean {
    return this.received > SMALL_BODY;
  }

  /** Bytes received. */
  get received(): number {
    return this.#spool.total;
  }

  waitForRoom(room: Promise<unknown>): void {
    this.#spool.waitForRoom(room);
  }

  /** For the stasher: a reader that does not count as a client. */
  open(options?: OpenOptions): Body {
    return this.#spool.open(options);
  }

  /** For a client: while one is left, the fill goes on whatever its size. */
  openForClient(options?: OpenOptions): Body {
    this.#clients += 1;
    const body = this.#spool.open(options);
    body.once('close', () => {
      this.#clients -= 1;
      this.#reconsider();
    });
    return body;
  }

  /** Keeps the fill from being given up until the function it gives is called: somebody is about to open it. */
  hold(): () => void {
    this.#keepers += 1;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#keepers -= 1;
      this.#reconsider();
    };
  }

  async takeFile(): Promise<string | undefined> {
    return this.#spool.takeFile();
  }

  /** Nobody new will join; what is spooled goes with the last reader. */
  release(): void {
    this.#spool.release();
  }

  // What clients got is not what is kept: a body that speaks against itself goes out and is forgotten.
  async #approved(whole: Promise<Sealed>, options: FillOptions): Promise<Sealed> {
    const sealed = await whole;
    const problem = (await this.findings)?.problem;
    if (problem !== undefined) {
      options.onProblem?.(problem);
      throw new ProxyError('integrity', 'fill.inspect', problem);
    }
    this.#whole = sealed;
    return sealed;
  }

  async #run(
    fetched: Fetched,
    options: FillOptions,
    found: ((findings: Findings | undefined) => void) | undefined,
  ): Promise<Sealed> {
    const promised = expected(fetched, options.pinned);
    const checks = {
      expectedSize: this.expectedSize,
      promised: promised.digest,
      knownBlocks: fetched.checkedBlocks,
      onMismatch: (other: string, wanted: string) =>
        options.onMismatch?.(promised.kind, other, wanted),
    };
    const take = (piece: Buffer): Promise<void> | undefined => this.#take(piece, options.maxBytes);
    try {
      const sealed = this.#isHashedBehind ? undefined : await passBody(fetched.body, checks, take);
      const size = sealed?.size ?? (await countBody(fetched.body, checks, take));
      const inspected = this.#inspector?.end();
      if (options.confirm) await options.confirm((await inspected) ?? {});
      if (found) void Promise.resolve(inspected).then(found);
      const whole = sealed ?? (await this.#hashed(size, checks));
      await this.#spool.seal();
      return whole;
    } catch (error) {
      this.#inspector?.abort();
      found?.(undefined);
      const failure = asProxyError(error);
      this.#metrics.count('fills_failed_total', kindOf(failure));
      this.#spool.fail(failure);
      throw failure;
    } finally {
      this.#over = true;
    }
  }

  async #hashed(size: number, checks: BodyChecks): Promise<Sealed> {
    const digest = await this.#spool.digest().catch(async (error: unknown) => {
      // It is not kept, and nothing is left to be hashed. Each block was compared: those who have it all but its end may have that.
      await this.#spool.seal();
      this.#gaveUp = true;
      throw error;
    });
    const sealed = { digest, size, blocks: checks.knownBlocks ?? Buffer.alloc(0) };
    await checkDigest(sealed, checks);
    return sealed;
  }

  // As the stasher does, at a pace of its own: neither the origin nor a client waits for it.
  async #inspectBehind(inspector: BodyInspector): Promise<Findings | undefined> {
    try {
      this.#inspecting = this.#spool.open();
      for await (const piece of this.#inspecting) await inspector.write(piece as Buffer);
      return await inspector.end();
    } catch {
      inspector.abort();
      return undefined;
    }
  }

  #take(piece: Buffer, maxBytes: number): Promise<void> | undefined {
    if (this.received + piece.length > maxBytes && this.joinable)
      this.#spool.stopKeeping(
        new ProxyError('too-large', 'fill.take', `the body is larger than ${maxBytes} bytes`),
      );
    if (this.#isLarge && !isReadBuffer(piece)) passedThrough(piece.length);
    const looked = this.#inspector?.write(piece);
    const wait = this.#spool.append(piece);
    this.#reconsider();
    return looked && wait ? Promise.all([looked, wait]).then(() => undefined) : (looked ?? wait);
  }

  #reconsider(): void {
    if (this.#over || this.#clients > 0 || this.#keepers > 0) return;
    if (this.joinable && this.#worthFinishing()) return;
    this.#over = true;
    this.#metrics.count('fills_abandoned_total');
    this.#gaveUp = true;
    this.#body.destroy(new ProxyError('aborted', 'fill.run', 'the last client left'));
  }

  #worthFinishing(): boolean {
    const size = this.expectedSize;
    if (size === undefined) return this.received <= FINISH_SMALL;
    return size <= FINISH_SMALL || size - this.received <= size * FINISH_SHARE;
  }
}
