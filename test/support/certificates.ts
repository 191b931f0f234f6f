import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** PEM files of a certificate and its key. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** An authority of a test, whose files lie in a folder. */
export class TestAuthority {
  /** PEM file of its own certificate. */
  readonly ca: string;
  readonly #folder: string;
  readonly #name: string;

  private constructor(folder: string, name: string) {
    this.#folder = folder;
    this.#name = name;
    this.ca = join(folder, `${name}.crt`);
  }

  /** Makes one. Throws where there is no openssl. */
  static async create(folder: string, name = 'authority'): Promise<TestAuthority> {
    const authority = new TestAuthority(folder, name);
    const words = [
      '-x509',
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      `${name}.key`,
    ];
    await authority.#openssl('req', ...NEW_KEY, ...words, '-out', `${name}.crt`);
    return authority;
  }

  /** A certificate for 127.0.0.1 that this authority signs, good for both sides. */
  async sign(name: string): Promise<Certificate> {
    const [key, asked, cert, extra] = ['key', 'csr', 'crt', 'ext'].map(
      (end) => `${name}.${end}`,
    ) as [string, string, string, string];
    await writeFile(join(this.#folder, extra), 'subjectAltName=IP:127.0.0.1\n');
    await this.#openssl(
      'req',
      ...NEW_KEY,
      '-nodes',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      key,
      '-out',
      asked,
    );
    const by = ['-CA', `${this.#name}.crt`, '-CAkey', `${this.#name}.key`, '-CAcreateserial'];
    await this.#openssl(
      'x509',
      '-req',
      '-in',
      asked,
      ...by,
      '-days',
      '2',
      '-extfile',
      extra,
      '-out',
      cert,
    );
    return { cert: join(this.#folder, cert), key: join(this.#folder, key) };
  }

  async #openssl(...words: readonly string[]): Promise<void> {
    await run('openssl', words, { cwd: this.#folder });
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'] as const;
