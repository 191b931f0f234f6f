import { expect } from 'chai';
import { TempConfig } from './temp-config.ts';

const FILE = `storage: { local: { type: disk, maxBytes: 1GiB }, far-away: { type: s3, bucket: caje } }
fetchers:
  site: { type: origin, url: http://127.0.0.1:3000 }
  near: { type: peer, url: http://127.0.0.1:8180, token: { file: /run/secrets/peer } }
trustedProxies: [10.0.0.0/8]
rules:
  - { name: site, protocol: http, fetch: [near, site] }
`;

describe('environment overrides', () => {
  let temp: TempConfig;
  beforeEach(async () => {
    temp = await TempConfig.create();
    await temp.write('caje.yaml', FILE);
  });
  afterEach(async () => {
    await temp[Symbol.asyncDispose]();
  });

  it('stand over the file, camel case in upper snake case', async () => {
    const { config } = await temp.load({
      CAJE_LISTEN__PUBLIC: '127.0.0.1:0',
      CAJE_DATA: '/srv/data',
      CAJE_LIMITS__HEADER_BYTES: '32KiB',
      CAJE_STORAGE__LOCAL__MAX_BYTES: '20GiB',
      CAJE_STORAGE__FAR_AWAY__FORCE_PATH_STYLE: 'true',
    });
    expect(config.listen.public.port).to.equal(0);
    expect(config.data).to.equal('/srv/data');
    expect(config.limits.headerBytes).to.equal(32_768);
    expect(config.storage.get('local')?.options).to.deep.include({ maxBytes: 20 * 2 ** 30 });
    expect(config.storage.get('far-away')?.options).to.deep.include({ forcePathStyle: true });
  });

  it('become numbers and switches where the key wants them', async () => {
    const { config } = await temp.load({
      CAJE_FILLS__CONCURRENT: '5',
      CAJE_LOG__ACCESS: 'false',
      CAJE_FETCHERS__SITE__MAX_SOCKETS: '2',
      CAJE_RULES__0__PRESERVE_HOST: 'true',
    });
    expect(config.fills.concurrent).to.equal(5);
    expect(config.log.access).to.equal(false);
    expect(config.fetchers.get('site')?.options).to.deep.include({ maxSockets: 2 });
    expect(config.rules[0]?.preserveHost).to.equal(true);
  });

  it('reach items of a list by index, and one past its end', async () => {
    const { config } = await temp.load({
      CAJE_RULES__0__FETCH__1: 'near',
      CAJE_RULES__0__FETCH__0: 'site',
      CAJE_TRUSTED_PROXIES__1: '::1',
    });
    expect(config.rules[0]?.fetch).to.deep.equal(['site', 'near']);
    expect(config.trustedProxies).to.deep.equal(['10.0.0.0/8', '::1']);
    expect(await temp.refusal({ CAJE_TRUSTED_PROXIES__5: '::1' })).to.include(
      'CAJE_TRUSTED_PROXIES__5',
    );
  });

  it('may put one value in place of a list or a map', async () => {
    const { config } = await temp.load({
      CAJE_RULES__0__FETCH: 'site',
      CAJE_FETCHERS__NEAR__TOKEN: 'inline',
    });
    expect(config.rules[0]?.fetch).to.deep.equal(['site']);
    expect(config.fetchers.get('near')?.options).to.deep.include({
      token: { kind: 'inline', value: 'inline' },
    });
  });

  it('change the type of a component before its options', async () => {
    const { config } = await temp.load({
      CAJE_STORAGE__LOCAL__BUCKET: 'caje',
      CAJE_STORAGE__LOCAL__TYPE: 's3',
    });
    expect(config.storage.get('local')).to.deep.include({ type: 's3' });
  });

  it('read a value from a file, its last line break cut off', async () => {
    const path = await temp.write('secret', 'from-file\n');
    const { config } = await temp.load({
      CAJE_FETCHERS__NEAR__TOKEN_FILE: path,
      CAJE_FILLS__CONCURRENT_FILE: await temp.write('count', '9\r\n'),
    });
    expect(config.fetchers.get('near')?.options).to.deep.include({
      token: { kind: 'inline', value: 'from-file' },
    });
    expect(config.fills.concurrent).to.equal(9);
  });

  it('reach the file of a secret as a key of its own', async () => {
    const { config } = await temp.load({ CAJE_FETCHERS__NEAR__TOKEN__FILE: './other' });
    expect(config.fetchers.get('near')?.options).to.deep.include({
      token: { kind: 'file', path: './other' },
    });
  });

  it('are named when their file cannot be read or its content is wrong', async () => {
    expect(await temp.refusal({ CAJE_DATA_FILE: '/no/such/file' })).to.equal(
      'CAJE_DATA_FILE: data: expected the path of a file that can be read, found "/no/such/file" (ENOENT)',
    );
    const path = await temp.write('size', 'canary');
    const text = await temp.refusal({ CAJE_SPOOL__MAX_BYTES_FILE: path });
    expect(text).to.include('CAJE_SPOOL__MAX_BYTES_FILE: spool.maxBytes: expected a size');
    expect(text).to.include(`found the content of ${path}`).and.not.include('canary');
  });

  it('are named when they are wrong or name no key', async () => {
    expect(await temp.refusal({ CAJE_SPOOL__MAX_BYTES: '20 apples' })).to.equal(
      'CAJE_SPOOL__MAX_BYTES: spool.maxBytes: expected a size such as 20GiB, 10MB, 64KiB or a number of bytes, found "20 apples"',
    );
    expect(await temp.refusal({ CAJE_LISTN__PUBLIC: 'x' }))
      .to.include('CAJE_LISTN__PUBLIC: expected a key in upper case')
      .and.include('did you mean CAJE_LISTEN__PUBLIC?');
    expect(await temp.refusal({ CAJE_STORAGE__NEAR__PATH: 'x' })).to.include(
      'CAJE_STORAGE__NEAR__PATH',
    );
    expect(await temp.refusal({ CAJE_LISTEN: 'x' })).to.include('CAJE_LISTEN');
  });

  it('leave the names alone that are kept for other uses', async () => {
    const { config } = await temp.load({ CAJE_TEST_LITEFS: '/bin/x', CAJE_CONFIG: 'caje.yaml' });
    expect(config.source).to.equal('caje.yaml');
  });
});
