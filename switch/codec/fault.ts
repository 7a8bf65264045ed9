// hot path
/**
 * Where and why bytes or values do not fit a dialect. Filled by walk() and MessageWriter, read by
 * links, commands, logs.
 *
 * One record is reused for many messages. It never holds content: a fault may be logged and
 * answered to anybody.
 */

/**
 * Every kind of fault, in the order in which a message is read. docs/reference and tests compare
 * with this list.
 */
export const FAULT_KINDS = [
  'none',
  'header_truncated',
  'header_length_invalid',
  'mti_truncated',
  'mti_not_digits',
  'bitmap_truncated',
  'bitmap_not_hex',
  'bitmap_not_allowed',
  'field_not_in_dialect',
  'length_truncated',
  'length_not_decimal',
  'length_over_max',
  'length_under_min',
  'field_truncated',
  'not_digits',
  'pad_not_valid',
  'sign_not_valid',
  'not_hex',
  'trailing_bytes',
  'length_wrong',
  'not_in_character_set',
  'message_too_long',
] as const

export type FaultKind = (typeof FAULT_KINDS)[number]

export class Fault {
  kind: FaultKind
  /** Field number; 0 when it is not about one field. */
  field: number
  /** Offset in the frame that was walked, in bytes; -1 when writing. */
  offset: number

  constructor() {
    this.kind = 'none'
    this.field = 0
    this.offset = 0
  }

  /** Fills the record; returns false so that a check can end with `return fault.refuse(...)`. */
  refuse(kind: FaultKind, field: number, offset: number): false {
    this.kind = kind
    this.field = field
    this.offset = offset
    return false
  }

  reset(): void {
    this.kind = 'none'
    this.field = 0
    this.offset = 0
  }
}
