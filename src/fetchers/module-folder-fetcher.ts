import type { CallOptions } from '../body.ts';
import { readGoproxyFile } from '../gomod/goproxy-folder.ts';
import { type ModuleFolder, placeIn } from '../gomod/module-folder.ts';
import type { Metrics } from '../metrics.ts';
import type { Fetched, Fetcher, FetchRequest } from './fetcher.ts';
import { FileFetcher } from './file-fetcher.ts';

/** What a module folder fetcher is made with. */
export interface ModuleFolderOptions {
  readonly name: string;
  readonly folder: ModuleFolder;
  readonly metrics: Metrics;
}

/** Answers a module proxy's paths from a folder of modules in any layout. Nothing outside of the folder is read. */
export class ModuleFolderFetcher implements Fetcher {
  readonly name: string;
  readonly #folder: ModuleFolder;
  readonly #files: FileFetcher;

  constructor({ name, folder, metrics }: ModuleFolderOptions) {
    this.name = name;
    this.#folder = folder;
    this.#files = new FileFetcher({ name, path: folder.root, metrics });
  }

  async fetch(request: FetchRequest, options?: CallOptions): Promise<Fetched> {
    const file = readGoproxyFile(decodeURIComponent(request.path.slice(1)));
    // What has no place here has none in the folder either: the path as it is is not found, or is a list.
    const path = file
      ? `/${placeIn(this.#folder.format, file).split('/').map(encodeURIComponent).join('/')}`
      : request.path;
    return await this.#files.fetch({ ...request, path }, options);
  }
}
