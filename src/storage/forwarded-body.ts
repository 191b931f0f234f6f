import { Readable } from 'node:stream';
import { BLOCK_SIZE, type Body } from '../body.ts';
import { kindOf, ProxyError } from '../errors.ts';

/** How a body is passed on. */
export interface ForwardOptions {
  /** The body, or how it is opened once somebody reads; what that throws, the reader gets. */
  readonly from: Body | (() => Promise<Body>);
  /**
   * Opens the same bytes elsewhere, from this one on, after `integrity`: then the reader sees no failure.
   * Absent, or gives nothing: the reader gets the failure.
   */
  readonly rest?: ((given: number) => Promise<Body | undefined>) | undefined;
  /** True: the pieces may go to several readers, so that none of them may give its memory back. Absent: one reader. */
  readonly shared?: boolean | undefined;
}

/** The bytes of another body as they come. Destroying it destroys the other, and it closes only after that. */
export class ForwardedBody extends Readable {
  readonly #options: ForwardOptions;
  #inner: Body | undefined;
  #given = 0;
  #wanted = false;
  #opening = false;

  constructor(options: ForwardOptions) {
    super({ highWaterMark: BLOCK_SIZE });
    this.#options = options;
    if (typeof options.from !== 'function') this.#attach(options.from);
  }

  override _read(): void {
    this.#wanted = true;
    if (this.#inner !== undefined) this.#inner.resume();
    else if (!this.#opening) void this.#open();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const inner = this.#inner;
    inner?.destroy();
    if (inner === undefined || inner.closed) callback(error);
    else inner.once('close', () => callback(error));
  }

  async #open(): Promise<void> {
    this.#opening = true;
    try {
      const { from } = this.#options;
      const body = typeof from === 'function' ? await from() : from;
      if (this.destroyed) body.destroy();
      else this.#attach(body);
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #attach(body: Body): void {
    this.#inner = body;
    let isOver = false;
    // Paused before it is listened to: it flows only as it is read here.
    body.pause();
    body.on('data', (piece: Buffer) => {
      this.#given += piece.length;
      this.#wanted = this.push(this.#options.shared === true ? piece.subarray() : piece);
      if (!this.#wanted) body.pause();
    });
    body.once('end', () => {
      isOver = true;
      this.push(null);
    });
    body.on('error', (error: Error) => {
      if (!isOver) void this.#failed(error);
      isOver = true;
    });
    body.once('close', () => {
      if (!isOver)
        this.destroy(new ProxyError('aborted', 'forwarded-body.read', 'the body was closed'));
    });
    if (this.#wanted) body.resume();
  }

  async #failed(error: Error): Promise<void> {
    const { rest } = this.#options;
    const isDamaged = kindOf(error) === 'integrity' && !this.destroyed;
    const body = isDamaged ? await rest?.(this.#given).catch(() => undefined) : undefined;
    if (this.destroyed) body?.destroy();
    else if (body === undefined) this.destroy(error);
    else this.#attach(body);
  }
}
