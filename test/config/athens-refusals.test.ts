import { expect } from 'chai';
import { ConfigError } from '../../src/config/config-error.ts';
import { type Env, imported } from './athens-imported.ts';

async function refusal(env: Env, toml?: string): Promise<string> {
  try {
    await imported(env, toml);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error('it was taken');
}

describe('importAthens, with what Athens would refuse', () => {
  const wrong: Readonly<Record<string, readonly [Env, string | undefined, RegExp]>> = {
    'a port of a service link': [
      { ATHENS_PORT: 'tcp://10.0.0.1:3000' },
      undefined,
      /^ATHENS_PORT: expected a port such as 3000 or :3000, found "tcp:/,
    ],
    'an unknown mode': [
      { ATHENS_DOWNLOAD_MODE: 'later' },
      undefined,
      /^ATHENS_DOWNLOAD_MODE: expected one of sync, .*custom:BASE64, found "later"$/,
    ],
    'a mode file that is not there': [
      { ATHENS_DOWNLOAD_MODE: 'file:nowhere' },
      undefined,
      /^ATHENS_DOWNLOAD_MODE: expected a file that can be read, found nowhere \(ENOENT\)$/,
    ],
    'a redirect to nowhere': [
      { ATHENS_DOWNLOAD_MODE: 'redirect' },
      undefined,
      /^ATHENS_DOWNLOAD_URL: expected an http or https URL, for the mode redirect, found nothing$/,
    ],
    'a number that is none': [
      { ATHENS_GOGET_WORKERS: 'many' },
      undefined,
      /^ATHENS_GOGET_WORKERS: expected a whole number such as 300, found "many"$/,
    ],
    'a value of another kind': [
      {},
      'Port = 3000\n',
      /^athens\.toml: Port: expected a text, found 3000$/,
    ],
    'two ways to log in': [
      { ATHENS_GITHUB_TOKEN: 'canary', ATHENS_NETRC_PATH: '/x' },
      undefined,
      /^ATHENS_NETRC_PATH: expected one of NETRCPath and GithubToken, not both, found both$/,
    ],
    'a database without https': [
      { ATHENS_SUM_DBS: 'http://sums.example' },
      undefined,
      /^ATHENS_SUM_DBS: expected https URLs, found "http:/,
    ],
    'an unknown store': [
      { ATHENS_STORAGE_TYPE: 'tape' },
      undefined,
      /^ATHENS_STORAGE_TYPE: expected one of memory, disk, .*, found "tape"$/,
    ],
    'a file that is no TOML': [{}, 'a = 1\nb = [', /^athens\.toml:2: expected TOML: /],
    'a pattern without its bracket': [
      { ATHENS_GONOSUM_PATTERNS: 'a[b' },
      undefined,
      /^ATHENS_GONOSUM_PATTERNS: expected patterns such as/,
    ],
    'an assignment without =': [
      { ATHENS_GO_BINARY_ENV_VARS: 'GOPROXY' },
      undefined,
      /^ATHENS_GO_BINARY_ENV_VARS: expected NAME=value, each, found "GOPROXY"$/,
    ],
  };
  for (const [what, [env, toml, message]] of Object.entries(wrong)) {
    it(`refuses ${what}`, async () => {
      const text = await refusal(env, toml);
      expect(text).to.match(message).and.not.include('canary');
      expect(text.split('\n'), 'said once').to.have.length(1);
    });
  }

  it('says everything that is wrong at once', async () => {
    const text = await refusal({
      ATHENS_PORT: 'x',
      ATHENS_NETWORK_MODE: 'y',
      ATHENS_LOG_LEVEL: 'z',
    });
    expect(text.split('\n')).to.have.length(3);
  });
});
