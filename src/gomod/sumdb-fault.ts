/**
 * What a checksum database gave cannot be believed (`integrity`), or it did not give what is needed to believe it (`upstream`).
 * The message says what is wrong in a few words and names neither module nor database: who asked knows them.
 */
export class SumdbFault extends Error {
  override readonly name = 'SumdbFault';
  readonly kind: 'integrity' | 'upstream';

  constructor(message: string, kind: 'integrity' | 'upstream' = 'integrity') {
    super(message);
    this.kind = kind;
  }
}
