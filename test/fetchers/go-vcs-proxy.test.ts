import { expect } from 'chai';
import { forwardProxyOf } from '../../src/fetchers/go-vcs-proxy.ts';

describe('forwardProxyOf', () => {
  const both = { HTTP_PROXY: 'http://plain:1', HTTPS_PROXY: 'http://tls:2' };
  const cases: readonly (readonly [url: string, env: Record<string, string>, proxy: string])[] = [
    ['https://git.example.com/x', {}, ''],
    ['https://git.example.com/x', both, 'http://tls:2'],
    ['http://git.example.com/x', both, 'http://plain:1'],
    ['https://git.example.com/x', { ...both, https_proxy: 'http://lower:3' }, 'http://lower:3'],
    ['https://git.example.com/x', { ...both, NO_PROXY: 'git.example.com' }, ''],
    ['https://git.example.com/x', { ...both, NO_PROXY: 'a.org, .example.com' }, ''],
    ['https://git.example.com/x', { ...both, no_proxy: '*.EXAMPLE.com' }, ''],
    ['https://git.example.com/x', { ...both, NO_PROXY: '*' }, ''],
    ['https://git.example.com/x', { ...both, NO_PROXY: 'ample.com' }, 'http://tls:2'],
    ['https://git.example.com/x', { ...both, NO_PROXY: '' }, 'http://tls:2'],
    ['https://git.example.com:8443/x', { ...both, NO_PROXY: 'example.com:8443' }, ''],
    ['https://git.example.com/x', { ...both, NO_PROXY: 'example.com:8443' }, 'http://tls:2'],
  ];
  for (const [url, env, proxy] of cases) {
    it(`is ${proxy || 'none'} for ${url} with ${JSON.stringify(env)}`, () => {
      expect(forwardProxyOf(new URL(url), env)).to.equal(proxy);
    });
  }
});
