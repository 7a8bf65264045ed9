// The one error that payment algorithms throw. Its `kind` comes from a closed list, so that a
// caller can map it to an answer code, and its text never holds a PIN, PAN, key or block.
// Used by every file of hsm/algorithms and by the adapters that call them.

/**
 * Why an algorithm refused its input.
 * - `control`: a control or version character is not the expected one
 * - `length`: a length is outside its range, or data are not whole blocks
 * - `digit`: a character that must be a decimal digit is not
 * - `filler`: a filler nibble or padding byte is not the prescribed one
 * - `mac`: an authenticator does not match
 * - `hash`: a hash inside a certificate or signature does not match
 * - `format`: a structure, header or trailer is not as its standard says
 * - `policy`: the request is well formed but forbidden (usage, strength, format weakening)
 * - `unsupported`: an algorithm, cipher or option that is not offered
 */
export type AlgorithmErrorKind =
  | 'control'
  | 'length'
  | 'digit'
  | 'filler'
  | 'mac'
  | 'hash'
  | 'format'
  | 'policy'
  | 'unsupported'

/** Refusal of a payment algorithm: `kind` says why, the message names the input, not its value. */
export class AlgorithmError extends Error {
  readonly kind: AlgorithmErrorKind

  constructor(kind: AlgorithmErrorKind, subject: string) {
    super(`${kind}: ${subject}`)
    this.name = 'AlgorithmError'
    this.kind = kind
  }
}

/** Throws `kind` about `subject` unless `holds`. `subject` is a fixed text, never data. */
export function demand(holds: boolean, kind: AlgorithmErrorKind, subject: string): asserts holds {
  if (!holds) throw new AlgorithmError(kind, subject)
}
