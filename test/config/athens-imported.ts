import { type AthensImport, importAthens } from '../../src/config/athens-import.ts';
import { sumdbSigner } from '../support/sumdb.ts';

/** Variables by name. */
export type Env = Readonly<Record<string, string>>;

/** What stands for the checksum database of this machine: its name, and its key as GOSUMDB has it. */
export const SUMDB: string = 'sums.example.org';
export const SUMDB_KEY: string = sumdbSigner(SUMDB).key;
const FILES: Env = {
  'modes.hcl': `mode = "async_redirect"
downloadURL = "https://up.example/x"
download "example.com/here/*" { mode = "sync" }
download "example.com/never/*" { mode = "none" }
`,
  filter: '-\n+ example.com\n- example.com/old <v2.0.0\nD golang.org/x\n',
};

/** Translates with a few files at hand. */
export async function imported(env: Env, toml?: string): Promise<AthensImport> {
  return await importAthens({
    env,
    toml: toml === undefined ? undefined : { name: 'athens.toml', text: toml },
    readFile: async (path) => {
      const text = FILES[path];
      if (text === undefined) throw Object.assign(new Error('gone'), { code: 'ENOENT' });
      return text;
    },
    sumdb: async () => SUMDB_KEY,
  });
}
