import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import { messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';

/** How a validator is asked. */
export interface ValidatorOptions {
  readonly url: URL;
  /** Milliseconds for one answer. */
  readonly timeoutMs: number;
  /** Milliseconds for which a verdict is remembered. */
  readonly cacheMs: number;
  /** What happens when it gives no verdict. */
  readonly onError: 'deny' | 'allow';
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Absent reason: allowed. */
interface Verdict {
  readonly reason: string | undefined;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

const OP = 'validator.check';
const MAX_VERDICTS = 10_000;
/** As much of an error's body as the go command shows: 8 lines, 648 bytes. */
const MAX_REASON = 648;
const MAX_LINES = 8;

/**
 * Asks an HTTP service whether something may be served: a POST of one JSON object; any 2xx allows, 403 denies and its body is the
 * reason. After Athens' validation hook, with a time limit, remembered verdicts, and one question at a time for the same thing.
 */
export class Validator {
  readonly #options: ValidatorOptions;
  readonly #verdicts = new LRUCache<string, Verdict>({ max: MAX_VERDICTS });
  readonly #asking = new Map<string, Promise<Verdict>>();

  constructor(options: ValidatorOptions) {
    this.#options = options;
  }

  /** Throws `forbidden` with the validator's reason, and `unavailable` when it gave no verdict and `onError` is `deny`. */
  async check(subject: Readonly<Record<string, string>>): Promise<void> {
    const question = JSON.stringify(subject);
    const known = this.#verdicts.get(question);
    const verdict =
      known && this.#options.clock.now() < known.until ? known : await this.#shared(question);
    if (verdict.reason !== undefined) throw new ProxyError('forbidden', OP, verdict.reason);
  }

  async #shared(question: string): Promise<Verdict> {
    const running = this.#asking.get(question);
    if (running) return await running;
    const asked = this.#ask(question).finally(() => this.#asking.delete(question));
    this.#asking.set(question, asked);
    return await asked;
  }

  async #ask(question: string): Promise<Verdict> {
    const { url, timeoutMs, cacheMs, onError, clock, log, metrics } = this.#options;
    try {
      const answer = await fetch(url, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: question,
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      });
      if (!answer.ok && answer.status !== 403) {
        await answer.body?.cancel();
        throw new ProxyError('upstream', OP, `it answered ${answer.status}`);
      }
      const reason = answer.ok ? undefined : await readReason(answer);
      if (answer.ok) await answer.body?.cancel();
      metrics.count('validator_verdicts_total', reason === undefined ? 'allowed' : 'denied');
      const verdict = { reason, until: clock.now() + cacheMs };
      this.#verdicts.set(question, verdict);
      return verdict;
    } catch (error) {
      metrics.count('validator_verdicts_total', 'none');
      log.warn({ err: messageOf(error), question, onError }, 'the validator gave no verdict');
      if (onError === 'allow') return { reason: undefined, until: 0 };
      throw new ProxyError('unavailable', OP, 'the validator of this rule gave no verdict', {
        cause: error,
      });
    }
  }
}

async function readReason(answer: Response): Promise<string> {
  const text = (await readSome(answer))
    .split('\n')
    .slice(0, MAX_LINES)
    .map((line) => line.replace(/[\p{Cc}\p{Cf}]/gu, ' ').trimEnd())
    .join('\n')
    .trim();
  return text === '' ? 'denied by the validator of this rule' : text;
}

async function readSome({ body }: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of body ?? []) {
    pieces.push(piece as Uint8Array);
    size += (piece as Uint8Array).length;
    // Leaving the loop cancels what else may come.
    if (size >= MAX_REASON) break;
  }
  return Buffer.concat(pieces).subarray(0, MAX_REASON).toString();
}
