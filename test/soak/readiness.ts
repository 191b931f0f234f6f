import { patience } from '../support/patience.ts';
import { pause, type SoakSite } from './soak-site.ts';

const POLL_MS = 20;

/** Resolves once `readyz` says that the node is ready. Throws, with what it says instead, when it does not within so many milliseconds. */
export async function isReady(site: SoakSite, ms: number): Promise<void> {
  await until(site, ms, 'ready', ({ status }) => status === 200);
}

/** Resolves once `readyz` names a part, such as `storage local`. Throws when it does not within so many milliseconds. */
export async function unready(site: SoakSite, part: string, ms: number): Promise<void> {
  const named = ({ status, text }: Readiness): boolean =>
    status === 503 && text.includes(JSON.stringify(part));
  await until(site, ms, `not ready for ${part}`, named);
}

interface Readiness {
  readonly status: number;
  readonly text: string;
}

async function until(
  site: SoakSite,
  ms: number,
  what: string,
  fits: (readiness: Readiness) => boolean,
): Promise<void> {
  const end = performance.now() + ms * patience();
  for (;;) {
    const { status, body } = await site.client.get(`${site.node.url}/_caje/readyz`);
    const text = body.toString();
    if (fits({ status, text })) return;
    if (performance.now() > end) throw new Error(`not ${what} in time: ${status} ${text}`);
    await pause(POLL_MS);
  }
}
