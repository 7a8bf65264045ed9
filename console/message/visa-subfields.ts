/**
 * The sub-fields of VisaNet fields that begin with a bitmap (62, 63, 126), for the `parsed` key of
 * a record. Called by parsed.ts only; what does not come out even has no parsed form.
 *
 * Numbers, codings and lengths as most public implementations have them; 62.1, 62.2, 63.1, 63.3,
 * 63.6 are seen in public samples. A sub-field that a sender makes of another length leaves the
 * whole field uneven, and it is then shown as one value.
 */
import { EBCDIC_TO_ASCII } from '../../switch/codec/codings/tables.ts'

/** Characters, packed digits (an odd count begins with a zero nibble), or bytes. */
type Coding = 'characters' | 'digits' | 'bytes'
/** Sub-field number, coding, length in characters, digits or bytes. */
type Row = readonly [number: number, coding: Coding, length: number]

const FIELD_62: readonly Row[] = [
  [1, 'characters', 1], [2, 'digits', 15], [3, 'characters', 4], [4, 'characters', 1],
  [5, 'digits', 2], [6, 'characters', 1], [7, 'characters', 26], [8, 'digits', 6],
  [9, 'characters', 1], [10, 'digits', 6], [11, 'digits', 2], [12, 'digits', 2],
  [13, 'characters', 1], [14, 'digits', 12], [15, 'characters', 1], [16, 'characters', 2],
  [17, 'characters', 15], [18, 'characters', 1], [19, 'characters', 2], [20, 'bytes', 5],
  [21, 'characters', 4], [22, 'characters', 6], [23, 'characters', 2], [24, 'characters', 6],
  [25, 'characters', 1], [26, 'characters', 1],
]
const FIELD_63: readonly Row[] = [
  [1, 'digits', 4], [2, 'digits', 4], [3, 'digits', 4], [4, 'digits', 4], [5, 'digits', 6],
  [6, 'characters', 7], [7, 'bytes', 8], [8, 'digits', 8], [9, 'characters', 14],
  [10, 'characters', 13], [11, 'characters', 1], [12, 'characters', 30], [13, 'digits', 6],
  [14, 'characters', 36], [15, 'characters', 9], [16, 'digits', 6], [17, 'digits', 2],
  [18, 'digits', 2], [19, 'characters', 3], [20, 'digits', 2], [21, 'characters', 1],
]
/** 126.16 has a length of its own and is left out: a field with it stays one value. */
const FIELD_126: readonly Row[] = [
  [5, 'characters', 8], [6, 'bytes', 17], [7, 'bytes', 17], [8, 'bytes', 20], [9, 'bytes', 20],
  [10, 'characters', 6], [11, 'characters', 2], [12, 'bytes', 3], [13, 'characters', 1],
  [14, 'characters', 1], [15, 'characters', 1], [17, 'characters', 3], [18, 'characters', 11],
  [19, 'characters', 1], [20, 'characters', 1],
]
const TABLES: Readonly<Record<number, readonly Row[]>> =
  { 62: FIELD_62, 63: FIELD_63, 126: FIELD_126 }

/**
 * The sub-fields that the bitmap names, by number; null when one is not known or the lengths do not
 * come out even. A bitmap of zeros with nothing after it is a field without sub-fields.
 */
export function visaSubfields(
  field: number, bytes: Uint8Array, bitmapBytes: number,
): Record<string, string> | null {
  const table = TABLES[field]
  if (table === undefined || bytes.length < bitmapBytes) return null
  const out: Record<string, string> = {}
  let at = bitmapBytes
  for (let number = 1; number <= bitmapBytes * 8; number++) {
    if (((bytes[(number - 1) >> 3]! >> (7 - ((number - 1) & 7))) & 1) === 0) continue
    const row = table.find((one) => one[0] === number)
    if (row === undefined) return null
    const [, coding, length] = row
    const end = at + (coding === 'digits' ? (length + 1) >> 1 : length)
    if (end > bytes.length) return null
    const text = textOf(coding, length, bytes.subarray(at, end))
    if (text === null) return null
    out[number] = text
    at = end
  }
  return at === bytes.length ? out : null
}

function textOf(coding: Coding, length: number, value: Uint8Array): string | null {
  const hex = Buffer.from(value).toString('hex').toUpperCase()
  if (coding === 'bytes') return hex
  if (coding === 'digits') return /^[0-9]*$/.test(hex) ? hex.slice(hex.length - length) : null
  const codes = Array.from(value, (byte) => EBCDIC_TO_ASCII[byte] ?? 0)
  return codes.includes(0) ? `hex:${hex}` : String.fromCharCode(...codes)
}
