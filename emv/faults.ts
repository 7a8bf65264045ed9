// The one error of the EMV room: a closed kind and a fixed text, never card data. The codec does
// not use it (its faults are values); offline data authentication and cryptogram inputs do.

/**
 * - `format`: structure, header, trailer or code is not as EMV says
 * - `length`: a length is outside its range
 * - `hash`: a hash does not match
 * - `missing`: a data object that is needed is absent
 */
export type EmvErrorKind = 'format' | 'length' | 'hash' | 'missing'

/** Refusal of an EMV function; the message names the data object, never its value. */
export class EmvError extends Error {
  readonly kind: EmvErrorKind

  constructor(kind: EmvErrorKind, subject: string) {
    super(`${kind}: ${subject}`)
    this.name = 'EmvError'
    this.kind = kind
  }
}

/** Throws `kind` about `subject` unless `holds` is true. */
export function demandEmv(
  holds: boolean,
  kind: EmvErrorKind,
  subject: string,
): asserts holds {
  if (!holds) throw new EmvError(kind, subject)
}
