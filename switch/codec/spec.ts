/**
 * What a dialect file holds, after its `extends:` chain has been laid over each other.
 *
 * Written by config/dialects.ts (which this room may not import: the types are structural), read by
 * compileDialect. Nothing here knows a scheme: a scheme is a YAML file. Units are named at each
 * number.
 */

/**
 * Character classes of ISO 8583:1987 clause 4.2; `x+n` is a sign (C or D) before digits, `b` is
 * bytes.
 */
export type FieldKind =
  'n' | 'a' | 'an' | 'as' | 'ns' | 'ans' | 'anp' | 'z' | 'b' | 'x+n'

/**
 * How a value is written. `bcd-left` pads an odd count after the digits, `bcd-right` before them.
 */
export type ValueCoding =
  'ascii' | 'ebcdic' | 'bcd-left' | 'bcd-right' | 'binary' | 'hex-ascii' | 'hex-ebcdic'

/**
 * Fixed, or a length prefix of that many decimal digits (BCD and binary: half as many bytes,
 * rounded up).
 */
export type LengthType = 'fixed' | 'l' | 'll' | 'lll' | 'llll'

export type LengthCoding = 'ascii' | 'ebcdic' | 'bcd' | 'binary'

/**
 * What a length prefix counts. `digits`: characters, BCD digits or hexadecimal digits. `bytes`:
 * bytes of the value. `bytes-or-digits`: bytes, unless the number can only be digits (two readings
 * of one scheme field are in use).
 */
export type LengthUnit = 'digits' | 'bytes' | 'bytes-or-digits'

/** `pan` shows six and four digits, `track` the masked PAN in it, `drop` nothing. */
export type SecrecyClass = 'no' | 'pan' | 'track' | 'drop'

/**
 * How a field is divided, for `parsed` and for masking; bytes that do not fit the shape stay one
 * value.
 */
export type FieldShape =
  | 'ber-tlv' // tag, length, value of EMV Book 3 annex B
  | 'visa-datasets' // one byte id, two bytes length, content: VisaNet DE55, DE104
  | 'visa-bitmap-8' // eight bytes of bitmap, then the sub-fields it names: VisaNet DE62, DE126
  | 'visa-bitmap-3' // three bytes of bitmap: VisaNet DE63
  | 'cups-usage' // two letters, then its value, or AS and a chain of usages: CUPS DE48, DE57
  | 'cups-usages' // a chain of two letters, three digits of length, value: CUPS DE63, DE104
  | 'mastercard-elements' // category letter, then two digits id, two digits length, value: DE48
  | 'positions' // consecutive positions, named in `parts`

export interface PositionSpec {
  readonly name: string
  /** Characters (hexadecimal digits for kind b). */
  readonly length: number
  readonly secret?: SecrecyClass
}

export interface FieldSpec {
  readonly name: string
  readonly kind: FieldKind
  readonly length: LengthType
  /**
   * Largest count, in digits for n, z and x+n (sign included), in characters for text, in bytes for
   * b.
   */
  readonly max: number
  /** Smallest count of a variable field, same unit; 0 when absent. */
  readonly min?: number
  readonly coding?: ValueCoding
  readonly length_coding?: LengthCoding
  readonly length_unit?: LengthUnit
  /** Nibble that fills an odd BCD count when we write; 0 and F are both read. */
  readonly pad?: '0' | 'f'
  readonly secret?: SecrecyClass
  readonly shape?: FieldShape
  readonly parts?: readonly PositionSpec[]
}

export interface DialectDefaults {
  readonly n: ValueCoding
  /** For n with a length prefix, when it differs from fixed n. */
  readonly n_variable?: ValueCoding
  /** For a, an, as, ns, ans, anp. */
  readonly text: ValueCoding
  readonly z: ValueCoding
  readonly b: ValueCoding
  /** For b with a length prefix, when it differs from fixed b. */
  readonly b_variable?: ValueCoding
  readonly 'x+n': ValueCoding
  readonly length: LengthCoding
}

export interface DialectSpec {
  readonly name: string
  readonly description: string
  readonly extends?: string
  readonly mti: { readonly coding: 'ascii' | 'ebcdic' | 'bcd' }
  readonly bitmap: {
    readonly coding: 'binary' | 'hex-ascii' | 'hex-ebcdic'
    /**
     * How many bitmaps a message may have: 1, 2, or 3 (bit 65 then announces fields 129 to 192).
     */
    readonly count: 1 | 2 | 3
  }
  /** Header between the framing and the MTI; `none` where the framing owns all of it. */
  readonly header: 'none' | 'visa'
  /**
   * Framing this interface is usually run over: a hint for tools, the link's configuration decides.
   */
  readonly framing?: string
  readonly defaults: DialectDefaults
  readonly fields: Readonly<Record<number, FieldSpec>>
  /** Kinds, messages, response codes: belongs to the pipeline, this room never looks at it. */
  readonly meaning?: unknown
}
