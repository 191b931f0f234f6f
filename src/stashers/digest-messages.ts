/** What the thread that hashes files is told. */
export interface ToDigestThread {
  readonly id: number;
  /** Descriptor of the file; with the first message. */
  readonly file?: number | undefined;
  /** The file has so many bytes. */
  readonly size: number;
  /** `whole`: it will not grow any more; `aborted`: nobody wants it. Absent: more will come. */
  readonly end?: 'whole' | 'aborted' | undefined;
}

/** What it says, once for each file, which it reads no longer then. */
export interface FromDigestThread {
  readonly id: number;
  /** SHA-256 in hex. Absent: there is none. */
  readonly digest?: string | undefined;
  /** Why there is none. */
  readonly problem?: string | undefined;
}
