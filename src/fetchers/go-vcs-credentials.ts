import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { codeOf, ProxyError } from '../errors.ts';
import type { ModuleMatcher } from '../gomod/module-pattern.ts';
import { readSecret, type Secret } from '../values.ts';

/** What opens repositories. Exactly one of the three is there. */
export interface VcsCredential {
  /** Modules that it is for. */
  readonly matches: ModuleMatcher;
  /** Path of a netrc file, whole. */
  readonly netrc?: string | undefined;
  /** `host` absent: that of the repository's address where it is mapped, else of the module path. */
  readonly token?:
    | { readonly user: string; readonly secret: Secret; readonly host?: string | undefined }
    | undefined;
  /** Paths of a private key and of the host keys that are trusted. */
  readonly sshKey?: { readonly file: string; readonly knownHosts: string } | undefined;
}

/** What a job's home was given. */
export interface LaidCredential {
  /** GIT_SSH_COMMAND. */
  readonly ssh: string;
  /** Texts that nobody may be shown. */
  readonly secrets: readonly string[];
}

const OP = 'go-vcs-credentials.lay';
const PRIVATE = 0o600;

/**
 * ssh that asks nobody, knows no configuration and no agent, and believes no host that it was not told of. Without a key
 * of the rule there is none, also not the account's own.
 */
const SSH =
  'ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=20 -o ServerAliveInterval=15' +
  ' -o IdentityAgent=none -o IdentitiesOnly=yes';

/** Puts one credential, or none, into the private folder of a job. Throws `unavailable` naming the file that cannot be read. */
export async function layCredential(
  credential: VcsCredential | undefined,
  {
    home,
    host,
    baseDir,
  }: { readonly home: string; readonly host: string; readonly baseDir: string },
): Promise<LaidCredential> {
  const closed = `${SSH} -o IdentityFile=/dev/null -o UserKnownHostsFile=/dev/null`;
  const { netrc, token, sshKey } = credential ?? {};
  try {
    if (netrc !== undefined) {
      const text = await readFile(resolve(baseDir, netrc), 'utf8');
      await writeFile(join(home, '.netrc'), text, { mode: PRIVATE });
      return { ssh: closed, secrets: passwordsOf(text) };
    }
    if (token !== undefined) {
      const secret = await readSecret(token.secret, baseDir);
      await writeFile(join(home, '.netrc'), netrcOf(token.host ?? host, token.user, secret), {
        mode: PRIVATE,
      });
      return { ssh: closed, secrets: [secret] };
    }
    if (sshKey === undefined) return { ssh: closed, secrets: [] };
    // A copy: ssh refuses a key that others may read, as mounted secrets often are.
    const [key, hosts] = [join(home, 'ssh-key'), join(home, 'ssh-hosts')];
    await writeFile(key, await readFile(resolve(baseDir, sshKey.file)), { mode: PRIVATE });
    await copyFile(resolve(baseDir, sshKey.knownHosts), hosts);
    const files = `-i ${quoted(key)} -o ${quoted(`UserKnownHostsFile="${hosts}"`)}`;
    return { ssh: `${SSH} ${files}`, secrets: [] };
  } catch (cause) {
    const said = cause instanceof ProxyError ? cause.message : `cannot be read: ${codeOf(cause)}`;
    const path = netrc ?? sshKey?.file ?? '';
    const message = cause instanceof ProxyError ? said : `the credential file ${path} ${said}`;
    throw new ProxyError('unavailable', OP, message, { cause });
  }
}

/** Why a word cannot stand in a netrc file. Absent: it can. */
export function netrcFault(word: string): string | undefined {
  return /^[^\s"'\\#]+$/.test(word)
    ? undefined
    : 'expected a text without spaces, quotes, # and backslashes';
}

function netrcOf(host: string, user: string, secret: string): string {
  const why = netrcFault(secret);
  if (why !== undefined) throw new ProxyError('unavailable', OP, `the secret for ${host}: ${why}`);
  return `machine ${host}\nlogin ${user}\npassword ${secret}\n`;
}

function passwordsOf(netrc: string): readonly string[] {
  return [...netrc.matchAll(/\bpassword\s+(\S+)/g)].map(([, password = '']) => password);
}

/** One word for the shell that git runs ssh with. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
