/** What was found in a body that passed. */
export interface Findings {
  /** `h1:` hash of a Go zip or go.mod. Absent: not one, or it could not be computed. */
  readonly h1?: string | undefined;
  /** Why the body must not be kept, for the log. Absent: nothing speaks against it. */
  readonly problem?: string | undefined;
}

/** Looks at a body while it passes, and changes nothing of it. */
export interface BodyInspector {
  /** Takes the next piece; a promise holds the body back until it resolves. Never throws or rejects. */
  write(piece: Buffer): Promise<void> | undefined;
  /** What was found, after the last piece. Never rejects: what cannot be read is a finding. */
  end(): Promise<Findings>;
  /** The body was cut: lets go of everything. Harmless after `end`. */
  abort(): void;
}
