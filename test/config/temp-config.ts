import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '../../src/config/config-error.ts';
import type { LoadedConfig, LoadOptions } from '../../src/config/load-config.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { configTypes } from '../fixtures/config-types.ts';

/** A folder for configuration files, removed afterwards. */
export class TempConfig {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(): Promise<TempConfig> {
    return new TempConfig(await mkdtemp(join(tmpdir(), 'caje-config-')));
  }

  /** Writes a file and gives its absolute path. */
  async write(name: string, text: string): Promise<string> {
    const path = join(this.folder, name);
    await writeFile(path, text);
    return path;
  }

  /** Loads `caje.yaml` of the folder, or the built-in default where there is none. */
  async load(
    env: Readonly<Record<string, string>> = {},
    options: Partial<LoadOptions> = {},
  ): Promise<LoadedConfig> {
    return await loadConfig({ env, types: configTypes, cwd: this.folder, ...options });
  }

  /** What is wrong, as it would be printed. Throws when nothing is. */
  async refusal(
    env: Readonly<Record<string, string>> = {},
    options: Partial<LoadOptions> = {},
  ): Promise<string> {
    try {
      await this.load(env, options);
    } catch (error) {
      if (error instanceof ConfigError) return error.message;
      throw error;
    }
    throw new Error('the configuration was taken');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true });
  }
}
