import type { Environment } from './http-proxy.ts';

/** Variables that name forward proxies, as curl and the go command read them. */
export const PROXY_VARIABLES = [
  'HTTP_PROXY',
  'http_proxy',
  'HTTPS_PROXY',
  'https_proxy',
  'NO_PROXY',
  'no_proxy',
] as const;

/** The forward proxy for one address, for a program whose own proxy variables say something else. '': none. */
export function forwardProxyOf(url: URL, env: Environment): string {
  const named =
    url.protocol === 'https:'
      ? env['https_proxy'] || env['HTTPS_PROXY']
      : env['http_proxy'] || env['HTTP_PROXY'];
  const exempt = env['no_proxy'] || env['NO_PROXY'] || '';
  return named === undefined || isExempt(url, exempt) ? '' : named;
}

function isExempt(url: URL, list: string): boolean {
  const host = url.hostname.toLowerCase();
  return list.split(/[\s,]+/).some((item) => {
    if (item === '*') return true;
    const [, name = '', port = ''] = /^\*?\.?(.+?)(?::(\d+))?$/.exec(item.toLowerCase()) ?? [];
    if (name === '' || (port !== '' && port !== url.port)) return false;
    return host === name || host.endsWith(`.${name}`);
  });
}
