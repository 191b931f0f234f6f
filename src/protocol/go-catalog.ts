import { kindOf } from '../errors.ts';
import { generatedAnswer } from './generated-answer.ts';
import type { KeptModules, KeptPage, KeptVersion } from './kept-modules.ts';
import type { ProtocolRequest, ProtocolResponse } from './protocol.ts';
import { readRfc3339 } from './rfc3339.ts';

// Both as Athens has them.
const CATALOG_PAGE = 1000;
const INDEX_LINES = 2000;
const MAX_CATALOG_PAGE = 10_000;

const TEXT = 'text/plain; charset=utf-8';
const JSON_TEXT = 'application/json; charset=utf-8';

/** Answers `/catalog` and `/index` to GET and HEAD. Absent: the request is another one. Throws what reading `kept` throws. */
export async function answerKept(
  { method, target }: Pick<ProtocolRequest, 'method' | 'target'>,
  kept: KeptModules,
): Promise<ProtocolResponse | undefined> {
  if ((method !== 'GET' && method !== 'HEAD') || !listsKept(target)) return undefined;
  const [path = '', ...query] = target.split('?');
  const params = new URLSearchParams(query.join('?'));
  return path === '/catalog' ? await answerCatalog(params, kept) : await answerIndex(params, kept);
}

/** True: the target is `/catalog` or `/index`, which name modules of every kind. */
export function listsKept(target: string): boolean {
  const path = target.split('?', 1)[0];
  return path === '/catalog' || path === '/index';
}

/**
 * A page of every kept version as JSON, `{"modules":[{"module","version"}],"next"}`, the form of Athens. `pagesize`:
 * 1,000 unless given, at most 10,000; `token`: `next` of the page before; `next` is '' on the last one. 400 for neither.
 */
export async function answerCatalog(
  params: URLSearchParams,
  kept: KeptModules,
): Promise<ProtocolResponse> {
  const size = readCount(params.get('pagesize'), CATALOG_PAGE, MAX_CATALOG_PAGE);
  if (size === undefined) return refusal('pagesize is no whole number above 0');
  const page = await pageAfter(kept, params.get('token') || undefined, size);
  if (page === undefined) return refusal('token is none of this catalog; begin without one');
  const modules = page.versions.map(({ module, version }) => ({ module, version }));
  return generatedAnswer(200, JSON_TEXT, JSON.stringify({ modules, next: page.next ?? '' }));
}

/**
 * Kept versions by when they came, one JSON object `{"Path","Version","Timestamp"}` per line, as the public module index
 * has them. `since`: RFC 3339, that moment included, absent for all; `limit`: 2,000 unless given and at most. Whoever goes
 * on with the last `Timestamp` gets its line again and misses none. 400 for anything else in either.
 */
export async function answerIndex(
  params: URLSearchParams,
  kept: KeptModules,
): Promise<ProtocolResponse> {
  const limit = readCount(params.get('limit'), INDEX_LINES, INDEX_LINES);
  if (limit === undefined) return refusal('limit is no whole number above 0');
  const from = params.get('since') || undefined;
  const since = from === undefined ? 0 : readRfc3339(from);
  if (since === undefined) return refusal('since is no RFC 3339 time, as 2006-01-02T15:04:05Z');
  const versions = await kept.since(since, limit);
  return generatedAnswer(200, JSON_TEXT, versions.map(indexLine).join(''));
}

function indexLine({ module, version, keptAt }: KeptVersion): string {
  const Timestamp = new Date(keptAt).toISOString();
  return `${JSON.stringify({ Path: module, Version: version, Timestamp })}\n`;
}

async function pageAfter(
  kept: KeptModules,
  token: string | undefined,
  size: number,
): Promise<KeptPage | undefined> {
  try {
    return await kept.page(token, size);
  } catch (error) {
    if (kindOf(error) === 'invalid') return undefined;
    throw error;
  }
}

/** Absent: not a whole number above 0. */
function readCount(text: string | null, otherwise: number, most: number): number | undefined {
  if (text === null || text === '') return otherwise;
  if (!/^\d+$/.test(text) || Number(text) < 1) return undefined;
  return Math.min(Number(text), most);
}

function refusal(reason: string): ProtocolResponse {
  return generatedAnswer(400, TEXT, `bad request: ${reason}\n`);
}
