import { kindOf } from '../errors.ts';
import { generatedAnswer } from './generated-answer.ts';
import type { KeptModules } from './kept-modules.ts';
import type { ProtocolResponse } from './protocol.ts';

/** Failures of an upstream that what is kept may stand in for. */
const OUTAGES = new Set(['upstream', 'timeout', 'unavailable']);

/** True: the upstream failed, so that what is kept may answer. */
export function isOutage(error: unknown): boolean {
  return OUTAGES.has(kindOf(error));
}

/**
 * The list or the latest version of a module, made from the versions that are kept, for a node without its upstream. `askKept`
 * answers another path from the store alone. Absent: nothing of the module is kept.
 */
export async function answerFromKept(
  module: string,
  route: 'list' | 'latest',
  kept: KeptModules,
  askKept: (target: string) => Promise<ProtocolResponse>,
): Promise<ProtocolResponse | undefined> {
  if (route === 'list') {
    const list = await kept.list(module);
    return list === undefined ? undefined : generatedAnswer(200, 'text/plain; charset=utf-8', list);
  }
  const latest = await kept.latest(module);
  if (latest === undefined) return undefined;
  try {
    const info = await askKept(`/${latest.infoKey}`);
    // The .info never changes, but which of them is the latest does.
    if (info.status === 200)
      return {
        ...info,
        headers: info.headers.without('age').with('Cache-Control', 'no-store'),
        report: { ...info.report, ttl: undefined },
        replay: undefined,
      };
    info.content?.close();
  } catch {
    // Its zip is kept and its .info is not, which says no more than the version.
  }
  return generatedAnswer(
    200,
    'application/json',
    `${JSON.stringify({ Version: latest.version })}\n`,
  );
}
