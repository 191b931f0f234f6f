import type { CallOptions } from './body.ts';
import { didYouMean, listNames } from './config/suggest.ts';
import { copyBody } from './copy-body.ts';
import { kindOf, messageOf, ProxyError } from './errors.ts';
import type { HouseParts } from './house-parts.ts';
import type { BodyRow, CopyInput, HouseTotal } from './house-schemas.ts';
import { type Backend, isRecoverer, type Stat } from './storage/backend.ts';
import { workThrough } from './work-queue.ts';

/** So many bodies that a store refuses in a row end the copy: the rest would fare no better. */
const MAX_REFUSALS = 20;

/** How much `copy` would look at. Throws `invalid` for a name. */
export async function copyTotal(
  parts: HouseParts,
  input: CopyInput,
  options: CallOptions,
): Promise<HouseTotal> {
  const { from } = await storagesOf(parts, input);
  let bodies = 0;
  let bytes = 0;
  for await (const { size } of from.list(undefined, options)) {
    bodies += 1;
    bytes += size;
  }
  return { bodies, bytes };
}

/**
 * Copies what one storage has and the other has not, in order of digest, each body checked on its way. Nothing is removed anywhere.
 * Throws `invalid` for a name, `unavailable` when the other goes on refusing, `aborted`.
 */
export async function* copyStorage(
  parts: HouseParts,
  input: CopyInput,
  options: CallOptions,
): AsyncGenerator<BodyRow> {
  const { from, to } = await storagesOf(parts, input);
  // What an earlier copy left that was killed. A store that refuses this says so again with its first body.
  await parts.spool.recover();
  if (isRecoverer(to)) await to.recover(options).catch(() => undefined);
  let refusals = 0;
  yield* workThrough(
    from.list(undefined, options),
    input.concurrency,
    async (stat, { signal }): Promise<BodyRow> => {
      try {
        const outcome = await copyOne(parts, from, to, stat, { signal });
        refusals = 0;
        return outcome;
      } catch (error) {
        signal.throwIfAborted();
        if (kindOf(error) === 'unavailable' && ++refusals >= MAX_REFUSALS) throw error;
        return { ...named(stat), outcome: 'failed', problem: messageOf(error) };
      }
    },
    options,
  );
}

async function copyOne(
  { spool }: HouseParts,
  from: Backend,
  to: Backend,
  stat: Stat,
  options: CallOptions,
): Promise<BodyRow> {
  const row = named(stat);
  if ((await to.stat(stat.digest, options))?.size === stat.size)
    return { ...row, outcome: 'there' };
  const opened = await from.open(stat.digest, options);
  if (opened === undefined)
    return { ...row, outcome: 'failed', problem: 'it is gone or does not match its digest' };
  await copyBody(opened, to, spool, options);
  return { ...row, outcome: 'copied' };
}

async function storagesOf(
  { config, storage }: HouseParts,
  { from, to }: CopyInput,
): Promise<{ readonly from: Backend; readonly to: Backend }> {
  const names = [...config.storage.keys()];
  for (const name of [from, to]) {
    if (!names.includes(name))
      throw new ProxyError(
        'invalid',
        'copy-handler.storage',
        `no storage is named ${JSON.stringify(name)}${didYouMean(name, names)}; there is ${listNames(names)}`,
      );
  }
  if (from === to)
    throw new ProxyError('invalid', 'copy-handler.storage', '--from and --to are the same storage');
  return { from: await storage.named(from), to: await storage.named(to) };
}

function named({ digest, size }: Stat): Pick<BodyRow, 'digest' | 'size'> {
  return { digest, size };
}
