import { expect } from 'chai';
import type { Config, Rule } from '../src/config/config.ts';
import { chooseGoRule, requestFor } from '../src/go-rules.ts';

const rule = (name: string, more: Partial<Rule> = {}): Rule =>
  ({ name, protocol: 'go', path: '/go/*', strip: true, ...more }) as Rule;
const configOf = (...rules: readonly Rule[]): Config =>
  ({ rules, listen: { public: { host: '127.0.0.1', port: 8080 } } }) as unknown as Config;

describe('chooseGoRule', () => {
  it('takes the one that is named, or the only one', () => {
    const [one, two, site] = [rule('one'), rule('team'), rule('site', { protocol: 'http' })];
    expect(chooseGoRule(configOf(site, one), undefined)).to.equal(one);
    expect(chooseGoRule(configOf(one, two), 'team')).to.equal(two);
    for (const [config, name, words] of [
      [configOf(site), undefined, /no rule with protocol: go$/],
      [configOf(one, two), undefined, /several rules .* \("one" or "team"\)$/],
      [
        configOf(one, two),
        'teem',
        /"teem" is not in the configuration; did you mean "team"\?; there is "one" or "team"$/,
      ],
      [configOf(site, one), 'site', /"site" serves no Go modules; there is "one"$/],
      [configOf(site), 'x', /"x" is not in the configuration; there is none$/],
    ] as const)
      expect(() => chooseGoRule(config, name)).to.throw(words);
  });
});

describe('requestFor', () => {
  const path = 'example.com/!a/@v/v1.0.0+incompatible.zip';
  for (const [more, port, publicUrl] of [
    [{}, 8080, `http://127.0.0.1:8080/go/${path}`],
    [{ host: 'modules.test' }, 8080, `http://modules.test/go/${path}`],
    [{ host: '*.test' }, 8080, `http://any.test/go/${path}`],
    [{ path: '/*' }, 80, `http://127.0.0.1/${path}`],
  ] as const) {
    it(`asks as a client of ${publicUrl.slice(0, -path.length)} would`, () => {
      const config = {
        ...configOf(),
        listen: { public: { host: '127.0.0.1', port } },
      } as unknown as Config;
      const request = requestFor({ config, nodeId: 'caje-1' }, rule('go', more), path, true);
      expect(request).to.include({ method: 'GET', target: `/${path}`, publicUrl, toKeep: true });
      expect(request.onlyIfCached).to.equal(true);
      expect(request.publicUrl.endsWith(request.target)).to.equal(true);
      expect(request.forwarding.get('via')).to.equal('1.1 caje-1');
      expect(request.forwarding.get('cdn-loop')).to.equal('caje-1');
    });
  }
});
