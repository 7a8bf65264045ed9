/**
 * Turns a DialectSpec into the flat tables that walk, View and MessageWriter read: one typed array
 * per property, indexed by field number, so that reading a message touches no object per field.
 *
 * Called once per dialect at start. A specification that contradicts itself throws an Error that
 * names the field: this is a mistake in a file, found before any traffic.
 */
import type {
  FieldShape, FieldSpec, DialectSpec, LengthUnit, SecrecyClass, ValueCoding,
} from './spec.ts'
import type { HeaderLayout } from './headers/layout.ts'
import { visaHeader } from './headers/visa.ts'
import type { Arrangement } from './arrangement.ts'

/** ISO 8583 has 128 fields; VisaNet's third bitmap reaches 192. */
export const FIELD_MAX = 192
/** Arrangements that a dialect keeps; a power of two. About 4 KB each. */
export const ARRANGEMENT_SLOTS = 64
/** Four digits of length prefix. */
export const COUNT_MAX = 9999

/** How a value is laid out on the wire. */
export const FORM = {
  characters: 0, // one byte per unit: text in ASCII or EBCDIC, and raw bytes
  bcdLeft: 1, // two digits per byte, an odd count is padded after the digits
  bcdRight: 2, // an odd count is padded before the digits
  hex: 3, // two characters per byte of value
  signedBcd: 4, // one character C or D, then bcdRight
} as const

/** What walk() checks in a value, and with it how the View makes text of it. */
export const CHECK = {
  none: 0, // raw bytes
  ascii: 1, // text, any byte is legal: what is not printable is shown as hexadecimal
  ebcdic: 2,
  asciiDigits: 3,
  ebcdicDigits: 4,
  bcdDigits: 5,
  bcdNibbles: 6, // tracks: any nibble, because tracks may be enciphered in place
  signAscii: 7,
  signEbcdic: 8,
  signBcd: 9,
  hexAscii: 10,
  hexEbcdic: 11,
} as const

/**
 * How the text of a field comes from its bytes: they are it, they are it when all are printable, it
 * is their hexadecimal, or that without a pad; or it is made by itself.
 */
export const TEXT = { other: 0, digits: 1, plain: 2, hex: 3, packed: 4 } as const
/** Neighbours of one run are checked for digits in one go, with the length prefixes between. */
export const RUN = { none: 0, ascii: 1, ebcdic: 2, bcd: 3 } as const

export const PREFIX = { none: 0, ascii: 1, ebcdic: 2, bcd: 3, binary: 4 } as const
/**
 * Value of a byte of a length prefix: 256 entries each for ASCII, EBCDIC, BCD and binary prefixes
 * (PREFIX less one). What is no digit has a value above every maximum.
 */
export const PREFIX_VALUE = new Int32Array(4 * 256)
const NO_DIGIT = 1 << 20
for (let byte = 0; byte < 256; byte++) {
  PREFIX_VALUE[byte] = byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : NO_DIGIT
  PREFIX_VALUE[256 + byte] = byte >= 0xf0 && byte <= 0xf9 ? byte - 0xf0 : NO_DIGIT
  PREFIX_VALUE[512 + byte] = byte >> 4 < 10 && (byte & 15) < 10
    ? (byte >> 4) * 10 + (byte & 15) : NO_DIGIT
  PREFIX_VALUE[768 + byte] = byte
}

export const UNIT = { digits: 0, bytes: 1, bytesOrDigits: 2 } as const
export const SECRECY: readonly SecrecyClass[] = ['no', 'pan', 'track', 'drop']

const PREFIX_DIGITS = { fixed: 0, l: 1, ll: 2, lll: 3, llll: 4 } as const

export class Dialect {
  readonly name: string
  readonly spec: DialectSpec
  readonly header: HeaderLayout | null
  /** Bytes of the MTI. */
  readonly mtiBytes: number
  readonly mtiCoding: 'ascii' | 'ebcdic' | 'bcd'
  /** Bytes of one bitmap: 8, or 16 in hexadecimal. */
  readonly bitmapBytes: number
  readonly bitmapCoding: 'binary' | 'hex-ascii' | 'hex-ebcdic'
  readonly bitmapCount: number
  /** Whether text of this dialect is EBCDIC. */
  readonly ebcdic: boolean
  readonly fieldMax: number
  /** Kept by arrangement.ts: arrangements by a hash of their bitmap, and hashes seen once. */
  readonly arrangements: (Arrangement | null)[]
  readonly missed: Int32Array
  /** 1 when the dialect has the field. */
  readonly known: Uint8Array
  readonly form: Uint8Array
  readonly check: Uint8Array
  /** TEXT of the field. */
  readonly textKind: Uint8Array
  /** RUN to which the field's digits belong. */
  readonly run: Uint8Array
  /** Largest and smallest count, in the field's unit. */
  readonly countMax: Uint16Array
  readonly countMin: Uint16Array
  /** Bytes of a fixed field's value; 0 for variable fields. */
  readonly fixedBytes: Uint16Array
  readonly prefix: Uint8Array
  readonly prefixBytes: Uint8Array
  readonly prefixUnit: Uint8Array
  /** Nibble written into an odd BCD count. */
  readonly pad: Uint8Array
  /** Index into SECRECY. */
  readonly secrecy: Uint8Array

  constructor(spec: DialectSpec) {
    this.name = spec.name
    this.spec = spec
    this.header = spec.header === 'visa' ? visaHeader : null
    this.mtiCoding = spec.mti.coding
    this.mtiBytes = spec.mti.coding === 'bcd' ? 2 : 4
    this.bitmapCoding = spec.bitmap.coding
    this.bitmapBytes = spec.bitmap.coding === 'binary' ? 8 : 16
    this.bitmapCount = spec.bitmap.count
    this.ebcdic = spec.defaults.text === 'ebcdic'
    this.fieldMax = spec.bitmap.count * 64
    this.arrangements = new Array<Arrangement | null>(ARRANGEMENT_SLOTS).fill(null)
    this.missed = new Int32Array(ARRANGEMENT_SLOTS)
    this.known = new Uint8Array(FIELD_MAX + 1)
    this.form = new Uint8Array(FIELD_MAX + 1)
    this.check = new Uint8Array(FIELD_MAX + 1)
    this.textKind = new Uint8Array(FIELD_MAX + 1)
    this.run = new Uint8Array(FIELD_MAX + 1)
    this.countMax = new Uint16Array(FIELD_MAX + 1)
    this.countMin = new Uint16Array(FIELD_MAX + 1)
    this.fixedBytes = new Uint16Array(FIELD_MAX + 1)
    this.prefix = new Uint8Array(FIELD_MAX + 1)
    this.prefixBytes = new Uint8Array(FIELD_MAX + 1)
    this.prefixUnit = new Uint8Array(FIELD_MAX + 1)
    this.pad = new Uint8Array(FIELD_MAX + 1)
    this.secrecy = new Uint8Array(FIELD_MAX + 1)
  }

  /** Name of a field in this dialect; `field_N` where it has none. */
  fieldName(field: number): string {
    return this.spec.fields[field]?.name ?? `field_${field}`
  }

  fieldSpec(field: number): FieldSpec | undefined {
    return this.spec.fields[field]
  }

  secrecyOf(field: number): SecrecyClass {
    return SECRECY[this.secrecy[field] ?? 0] ?? 'drop'
  }

  shapeOf(field: number): FieldShape | undefined {
    return this.spec.fields[field]?.shape
  }
}

/**
 * Checks the specification and fills the tables. Throws an Error naming dialect and field when it
 * is not consistent.
 */
export function compileDialect(spec: DialectSpec): Dialect {
  const dialect = new Dialect(spec)
  for (const key of Object.keys(spec.fields)) {
    const field = Number(key)
    const row = spec.fields[field]
    if (row === undefined) continue
    if (!Number.isInteger(field) || field < 2 || field > FIELD_MAX) {
      throw new Error(`dialect ${spec.name}: field ${key} is outside 2 to ${FIELD_MAX}`)
    }
    if (field <= dialect.fieldMax) compileField(dialect, spec, field, row)
  }
  for (let field = 2; field <= FIELD_MAX; field++) {
    dialect.run[field] = runOf(dialect, field)
    dialect.textKind[field] = textKindOf(dialect, field)
  }
  return dialect
}

function compileField(dialect: Dialect, spec: DialectSpec, field: number, row: FieldSpec): void {
  const wrong = (text: string): Error => new Error(`dialect ${spec.name}: field ${field} ${text}`)
  const coding = row.coding ?? defaultCoding(spec, row)
  const form = formOf(row, coding)
  if (form === null) throw wrong(`of kind ${row.kind} cannot be coded ${coding}`)
  const check = checkOf(row, coding)
  if (check === null) throw wrong(`of kind ${row.kind} cannot be coded ${coding}`)
  const digits = PREFIX_DIGITS[row.length]
  const lengthCoding = row.length_coding ?? spec.defaults.length
  const unit = unitOf(row.length_unit, form)
  if (row.max < 1 || row.max > COUNT_MAX) throw wrong(`needs a maximum from 1 to ${COUNT_MAX}`)
  if ((row.min ?? 0) > row.max) throw wrong('has a minimum above its maximum')
  if (row.kind === 'x+n' && row.length !== 'fixed') {
    throw wrong('of kind x+n must have a fixed length')
  }
  dialect.known[field] = 1
  dialect.form[field] = form
  dialect.check[field] = check
  dialect.countMax[field] = row.max
  dialect.countMin[field] = row.length === 'fixed' ? row.max : (row.min ?? 0)
  dialect.pad[field] = row.pad === 'f' ? 15 : 0
  dialect.secrecy[field] = SECRECY.indexOf(row.secret ?? 'no')
  dialect.prefixUnit[field] = unit
  if (row.length === 'fixed') {
    dialect.fixedBytes[field] = bytesOf(form, row.max)
    return
  }
  const halved = lengthCoding === 'bcd' || lengthCoding === 'binary'
  dialect.prefix[field] = PREFIX[lengthCoding]
  dialect.prefixBytes[field] = halved ? (digits + 1) >> 1 : digits
  const largest = unit === UNIT.digits || form === FORM.characters
    ? row.max
    : bytesOf(form, row.max)
  const room = lengthCoding === 'binary' ? 256 ** ((digits + 1) >> 1) : 10 ** digits
  if (largest >= room) throw wrong(`has a maximum that its length prefix cannot hold`)
}

/** Digits whose length prefix, if any, is written in the same digits. */
function runOf(dialect: Dialect, field: number): number {
  const prefix = dialect.prefix[field]!
  const alike = (coding: number): boolean => prefix === PREFIX.none || prefix === coding
  switch (dialect.check[field]!) {
    case CHECK.asciiDigits:
      return alike(PREFIX.ascii) ? RUN.ascii : RUN.none
    case CHECK.ebcdicDigits:
      return alike(PREFIX.ebcdic) ? RUN.ebcdic : RUN.none
    case CHECK.bcdDigits:
      return alike(PREFIX.bcd) ? RUN.bcd : RUN.none
    default:
      return RUN.none
  }
}

function textKindOf(dialect: Dialect, field: number): number {
  switch (dialect.check[field]!) {
    case CHECK.none:
      return TEXT.hex
    case CHECK.bcdDigits:
    case CHECK.bcdNibbles:
      return TEXT.packed
    case CHECK.ascii:
      return dialect.ebcdic ? TEXT.other : TEXT.plain
    case CHECK.asciiDigits:
    case CHECK.signAscii:
      return dialect.ebcdic ? TEXT.other : TEXT.digits
    default:
      return TEXT.other
  }
}

function defaultCoding(spec: DialectSpec, row: FieldSpec): ValueCoding {
  const variable = row.length !== 'fixed'
  switch (row.kind) {
    case 'n':
      return variable ? (spec.defaults.n_variable ?? spec.defaults.n) : spec.defaults.n
    case 'z':
      return spec.defaults.z
    case 'b':
      return variable ? (spec.defaults.b_variable ?? spec.defaults.b) : spec.defaults.b
    case 'x+n':
      return spec.defaults['x+n']
    default:
      return spec.defaults.text
  }
}

function formOf(row: FieldSpec, coding: ValueCoding): number | null {
  const packed = coding === 'bcd-left' || coding === 'bcd-right'
  if (row.kind === 'x+n') {
    return packed ? FORM.signedBcd : coding === 'binary' ? null : FORM.characters
  }
  switch (coding) {
    case 'bcd-left':
      return FORM.bcdLeft
    case 'bcd-right':
      return FORM.bcdRight
    case 'hex-ascii':
    case 'hex-ebcdic':
      return FORM.hex
    default:
      return FORM.characters
  }
}

function checkOf(row: FieldSpec, coding: ValueCoding): number | null {
  const bytes = row.kind === 'b'
  switch (coding) {
    case 'binary':
      return bytes ? CHECK.none : null
    case 'hex-ascii':
      return bytes ? CHECK.hexAscii : null
    case 'hex-ebcdic':
      return bytes ? CHECK.hexEbcdic : null
    case 'bcd-left':
    case 'bcd-right':
      if (row.kind === 'x+n') return CHECK.signBcd
      return row.kind === 'n' ? CHECK.bcdDigits : row.kind === 'z' ? CHECK.bcdNibbles : null
    case 'ascii':
      if (row.kind === 'x+n') return CHECK.signAscii
      return row.kind === 'n' ? CHECK.asciiDigits : bytes ? null : CHECK.ascii
    case 'ebcdic':
      if (row.kind === 'x+n') return CHECK.signEbcdic
      return row.kind === 'n' ? CHECK.ebcdicDigits : bytes ? null : CHECK.ebcdic
  }
}

function unitOf(unit: LengthUnit | undefined, form: number): number {
  if (unit === 'bytes-or-digits') return UNIT.bytesOrDigits
  if (unit === 'bytes') return UNIT.bytes
  if (unit === 'digits') return UNIT.digits
  return form === FORM.hex ? UNIT.bytes : UNIT.digits
}

/**
 * Bytes that `count` units take on the wire (count of x+n includes its sign; count of hex is bytes
 * of value).
 */
export function bytesOf(form: number, count: number): number {
  switch (form) {
    case FORM.bcdLeft:
    case FORM.bcdRight:
      return (count + 1) >> 1
    case FORM.hex:
      return count * 2
    case FORM.signedBcd:
      return 1 + (count >> 1)
    default:
      return count
  }
}
