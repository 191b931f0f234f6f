import { readDirectory } from './zip-directory.ts';
import { MAX_ZIP } from './zip-rules.ts';
import { ZipScanner } from './zip-scanner.ts';
import { ZipMarks, ZipTail } from './zip-tail.ts';
import { judgeZip, type ModuleVersion, type ZipFindings } from './zip-verdict.ts';

/**
 * Looks at a module's zip while it passes, in this thread. Holds about a piece of it, its directory and a few hundred bytes
 * per file; inflates 500 MiB at most. It finds fault only with what the go command refuses, which reads the directory at
 * the end and takes no notice of modes, times, encryption marks, and of what stands in a file's own header but lengths.
 */
export class ZipInspection {
  readonly #of: ModuleVersion;
  readonly #tail = new ZipTail();
  readonly #marks = new ZipMarks();
  readonly #scanner = new ZipScanner();
  #isAborted = false;

  constructor(of: ModuleVersion) {
    this.#of = of;
  }

  /** Takes the next piece, which is free again on return; the next one waits for the promise. Never throws or rejects. */
  write(piece: Buffer): Promise<void> | undefined {
    if (this.#isAborted || this.#tail.size > MAX_ZIP) return undefined;
    this.#tail.push(piece);
    if (this.#tail.size > MAX_ZIP) {
      this.#scanner.abort();
      return undefined;
    }
    this.#marks.push(piece);
    const read = this.#scanner.write(piece);
    return read === undefined ? this.#release() : read.then(() => this.#release());
  }

  /** What was found, after the last piece. Never rejects. */
  async end(): Promise<ZipFindings> {
    if (this.#isAborted) return { unknown: 'it was cut' };
    if (this.#tail.size > MAX_ZIP) return { problem: `it is larger than ${MAX_ZIP} bytes` };
    await this.#scanner.end();
    const window = this.#tail.window();
    const directory = readDirectory(window, this.#marks);
    if (!('entries' in directory)) return directory;
    return judgeZip(this.#of, directory.entries, {
      files: this.#scanner.files,
      marks: this.#marks,
      window,
    });
  }

  /** Lets go of everything. */
  abort(): void {
    this.#isAborted = true;
    this.#scanner.abort();
  }

  #release(): undefined {
    // What stopped the scanner keeps it from seeing the directory, which may be anything behind that place.
    this.#tail.release(this.#scanner.position);
  }
}
