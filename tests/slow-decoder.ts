/**
 * A second decoder and builder of ISO 8583 messages, slow and obvious: strings, arrays, one `if`
 * after the other.
 *
 * Used by tests only, to find where the real codec differs. It shares nothing with switch/codec:
 * not the tables (they are written out below), not the codings. It must never be made faster at the
 * price of being less obvious.
 */

/**
 * `number kind length`: `..` LL, `...` LLL, `1.` one byte, `2.` two bytes of binary length; fixed
 * without dots.
 */
const ISO87 =
  '2 n..19, 3 n 6, 4 n 12, 5 n 12, 6 n 12, 7 n 10, 8 n 8, 9 n 8, 10 n 8, 11 n 6, 12 n 6, 13 n 4, ' +
  '14 n 4, 15 n 4, 16 n 4, 17 n 4, 18 n 4, 19 n 3, 20 n 3, 21 n 3, 22 n 3, 23 n 3, 24 n 3, 25 n 2, ' +
  '26 n 2, 27 n 1, 28 x+n 9, 29 x+n 9, 30 x+n 9, 31 x+n 9, 32 n..11, 33 n..11, 34 ans..28, ' +
  '35 z..37, 36 z...104, 37 an 12, 38 an 6, 39 an 2, 40 an 3, 41 ans 8, 42 ans 15, 43 ans 40, ' +
  '44 ans..25, 45 ans..76, 46 ans...999, 47 ans...999, 48 ans...999, 49 an 3, 50 an 3, 51 an 3, ' +
  '52 b 8, 53 n 16, 54 ans...120, 55 ans...999, 56 ans...999, 57 ans...999, 58 ans...999, ' +
  '59 ans...999, 60 ans...999, 61 ans...999, 62 ans...999, 63 ans...999, 64 b 8, 65 b 8, 66 n 1, ' +
  '67 n 2, 68 n 3, 69 n 3, 70 n 3, 71 n 4, 72 n 4, 73 n 6, 74 n 10, 75 n 10, 76 n 10, 77 n 10, ' +
  '78 n 10, 79 n 10, 80 n 10, 81 n 10, 82 n 12, 83 n 12, 84 n 12, 85 n 12, 86 n 16, 87 n 16, ' +
  '88 n 16, 89 n 16, 90 n 42, 91 ans 1, 92 ans 2, 93 ans 6, 94 ans 7, 95 ans 42, 96 b 16, ' +
  '97 x+n 17, 98 ans 25, 99 n..11, 100 n..11, 101 ans..17, 102 ans..28, 103 ans..28, ' +
  '104 ans...100, 105 ans...999, 106 ans...999, 107 ans...999, 108 ans...999, 109 ans...999, ' +
  '110 ans...999, 111 ans...999, 112 ans...999, 113 ans...999, 114 ans...999, 115 ans...999, ' +
  '116 ans...999, 117 ans...999, 118 ans...999, 119 ans...999, 120 ans...999, 121 ans...999, ' +
  '122 ans...999, 123 ans...999, 124 ans...999, 125 ans...999, 126 ans...999, 127 ans...999, ' +
  '128 b 8'

const VISA =
  '2 n1.19, 3 n 6, 4 n 12, 5 n 12, 6 n 12, 7 n 10, 8 n 8, 9 n 8, 10 n 8, 11 n 6, 12 n 6, 13 n 4, 14 n 4, ' +
  '15 n 4, 16 n 4, 17 n 4, 18 n 4, 19 n 3, 20 n 3, 21 n 3, 22 n 4, 23 n 3, 24 n 3, 25 n 2, 26 n 2, 27 n 1, ' +
  '28 x 9, 29 x 9, 30 x 9, 31 x 9, 32 n1.11, 33 n1.11, 34 b2.1535, 35 z1.37, 36 ans1.104, 37 ans 12, ' +
  '38 ans 6, 39 ans 2, 40 ans 3, 41 ans 8, 42 ans 15, 43 ans 40, 44 ans1.25, 45 ans1.76, 46 ans1.255, ' +
  '47 ans1.255, 48 ans1.255, 49 n 3, 50 n 3, 51 n 3, 52 b 8, 53 n 16, 54 ans1.120, 55 b1.255, 59 ans1.14, ' +
  '60 b1.6, 62 b1.255, 63 b1.255, 64 b 8, 66 n 1, 68 n 3, 69 n 3, 70 n 3, 73 n 6, 74 n 10, 75 n 10, 76 n 10, ' +
  '77 n 10, 86 n 16, 87 n 16, 88 n 16, 89 n 16, 90 n 42, 91 ans 1, 92 ans 2, 93 ans 5, 95 ans 42, 96 b 8, ' +
  '97 x 17, 99 n1.11, 100 n1.11, 101 ans1.17, 102 ans1.28, 103 ans1.28, 104 b1.255, 105 b 16, 115 ans1.24, ' +
  '116 b1.255, 121 ans1.11, 122 ans1.13, 123 b1.255, 126 b1.255, 127 b1.255, 130 b 3, 131 b 5, 132 b 4, ' +
  '133 ans 8, 134 b1.255, 136 b 8, 137 b 2, 138 b 2, 139 b 10, 140 b1.255, 144 n 2, 145 n 3, 146 n 6, ' +
  '147 n 12, 148 n 3, 149 n 12, 152 b 8'

export interface SlowField {
  readonly number: number
  readonly kind: 'n' | 'x' | 'z' | 'b' | 'ans'
  /** '' fixed, '..' or '...' decimal digits of length, '1.' or '2.' bytes of binary length. */
  readonly prefix: string
  readonly max: number
}

function table(text: string): Map<number, SlowField> {
  const out = new Map<number, SlowField>()
  for (const row of text.split(',')) {
    const found = /^\s*([0-9]+) (x\+n|[a-z]+)(\.+|[12]\.)? ?([0-9]+)$/.exec(row)
    if (found === null) throw new Error(`bad row ${row}`)
    const word = found[2] ?? ''
    const kind = word === 'n' || word === 'z' || word === 'b' ? word : word[0] === 'x' ? 'x' : 'ans'
    out.set(Number(found[1]),
      { number: Number(found[1]), kind, prefix: found[3] ?? '', max: Number(found[4]) })
  }
  return out
}

export const ISO87_FIELDS = table(ISO87)
export const VISA_FIELDS = table(VISA)

const EBCDIC = new Map<number, string>()
for (const [start, characters] of [
  [0x40, ' '], [0x4b, '.<(+|&'], [0x5a, '!$*);'], [0x60, '-/'], [0x6b, ',%_>?'], [0x79, '`:#@\'="'], [0x81, 'abcdefghi'],
  [0x91, 'jklmnopqr'], [0xa1, '~stuvwxyz'], [0xb0, '^'], [0xba, '[]'], [0xc0, '{ABCDEFGHI'], [0xd0, '}JKLMNOPQR'],
  [0xe0, '\\'], [0xe2, 'STUVWXYZ'], [0xf0, '0123456789'],
] as const) {
  characters.split('').forEach((character, i) => EBCDIC.set(start + i, character))
}

export interface SlowMessage {
  mti: string
  fields: Record<string, string>
}

const hexOf = (bytes: Buffer): string => bytes.toString('hex').toUpperCase()

function textOf(bytes: Buffer, ebcdic: boolean): string {
  let text = ''
  for (const byte of bytes) {
    const character = ebcdic
      ? EBCDIC.get(byte)
      : byte >= 0x20 && byte <= 0x7e ? String.fromCharCode(byte) : undefined
    if (character === undefined) return `hex:${hexOf(bytes)}`
    text += character
  }
  return text.startsWith('hex:') ? `hex:${hexOf(bytes)}` : text
}

/** The fields that bitmaps announce, and the rest; null when a bitmap is cut off or not allowed. */
function readBitmaps(
  bytes: Buffer, asHex: boolean, most: number,
): { fields: number[]; rest: Buffer } | null {
  let bits = ''
  let rest = bytes
  for (let count = 1; ; count++) {
    const size = asHex ? 16 : 8
    if (rest.length < size || count > most) return null
    let hex = rest.subarray(0, size).toString('hex')
    if (asHex) {
      hex = rest.subarray(0, size).toString('latin1')
      if (!/^[0-9A-F]{16}$/.test(hex) && !/^[0-9a-f]{16}$/.test(hex)) return null
    }
    const these = [...hex].map((digit) => parseInt(digit, 16).toString(2).padStart(4, '0')).join('')
    const more = these[0] === '1' && (count === 1 || most === 3) && count < 3
    bits += more ? `0${these.slice(1)}` : these
    rest = rest.subarray(size)
    if (!more) break
  }
  return { fields: [...bits].flatMap((bit, i) => (bit === '1' ? [i + 1] : [])), rest }
}

/** Decodes ISO 8583:1987 in ASCII; null when the bytes are not such a message. */
export function slowDecodeAscii(bytes: Buffer): SlowMessage | null {
  const mti = bytes.subarray(0, 4).toString('latin1')
  if (!/^[0-9]{4}$/.test(mti)) return null
  const start = readBitmaps(bytes.subarray(4), true, 2)
  if (start === null) return null
  const fields: Record<string, string> = {}
  let rest = start.rest
  for (const number of start.fields) {
    const field = ISO87_FIELDS.get(number)
    if (field === undefined) return null
    let length = field.max
    if (field.prefix !== '') {
      const digits = rest.subarray(0, field.prefix.length).toString('latin1')
      if (digits.length < field.prefix.length || !/^[0-9]+$/.test(digits)) return null
      length = Number(digits)
      if (length > field.max) return null
      rest = rest.subarray(field.prefix.length)
    }
    const size = field.kind === 'b' ? length * 2 : length
    if (rest.length < size) return null
    const value = rest.subarray(0, size)
    rest = rest.subarray(size)
    const raw = value.toString('latin1')
    if (field.kind === 'n' && !/^[0-9]*$/.test(raw)) return null
    if (field.kind === 'x' && !/^[CD][0-9]+$/.test(raw)) return null
    if (field.kind === 'b' && !/^[0-9A-F]*$/.test(raw) && !/^[0-9a-f]*$/.test(raw)) return null
    fields[number] = field.kind === 'b' ? raw.toUpperCase() : textOf(value, false)
  }
  return rest.length === 0 ? { mti, fields } : null
}

/** Decodes a VisaNet message without its header; null when the bytes are not such a message. */
export function slowDecodeVisa(bytes: Buffer): SlowMessage | null {
  const mti = hexOf(bytes.subarray(0, 2))
  if (!/^[0-9]{4}$/.test(mti)) return null
  const start = readBitmaps(bytes.subarray(2), false, 3)
  if (start === null) return null
  const fields: Record<string, string> = {}
  let rest = start.rest
  for (const number of start.fields) {
    const field = VISA_FIELDS.get(number)
    if (field === undefined) return null
    let length = field.max
    if (field.prefix !== '') {
      const size = Number(field.prefix[0])
      if (rest.length < size) return null
      length = rest.readUIntBE(0, size)
      if (length > field.max) return null
      rest = rest.subarray(size)
    }
    const packed = field.kind === 'n' || field.kind === 'z'
    const size = packed ? Math.ceil(length / 2) : length
    if (rest.length < size) return null
    const value = rest.subarray(0, size)
    rest = rest.subarray(size)
    const text = slowVisaText(field, value, length)
    if (text === null) return null
    fields[number] = text
  }
  return rest.length === 0 ? { mti, fields } : null
}

function slowVisaText(field: SlowField, value: Buffer, length: number): string | null {
  if (field.kind === 'b') return hexOf(value)
  if (field.kind === 'ans') return textOf(value, true)
  if (field.kind === 'x') {
    const text = textOf(value, true)
    return /^[CD][0-9]+$/.test(text) ? text : null
  }
  const nibbles = hexOf(value)
  const digits = nibbles.slice(nibbles.length - length)
  if (field.kind === 'z') return digits
  if (!/^[0-9]*$/.test(digits)) return null
  return length % 2 === 0 || nibbles[0] === '0' || nibbles[0] === 'F' ? digits : null
}

const toEbcdic = (text: string): Buffer => Buffer.from([...text].map((character) => {
  for (const [byte, known] of EBCDIC) if (known === character) return byte
  throw new Error('not in EBCDIC')
}))

function bitmapsOf(numbers: readonly number[], asHex: boolean): Buffer {
  const highest = Math.max(2, ...numbers)
  const count = highest > 128 ? 3 : highest > 64 ? 2 : 1
  const bits = Array.from({ length: count * 64 }, (_, i) => (numbers.includes(i + 1) ? '1' : '0'))
  for (let i = 0; i < count - 1; i++) bits[i * 64] = '1'
  const hex =
    bits.join('').replace(/[01]{4}/g, (four) => parseInt(four, 2).toString(16)).toUpperCase()
  return asHex ? Buffer.from(hex, 'latin1') : Buffer.from(hex, 'hex')
}

/** Builds what slowDecodeAscii reads. */
export function slowBuildAscii(message: SlowMessage): Buffer {
  const numbers = Object.keys(message.fields).map(Number)
  const parts = [Buffer.from(message.mti, 'latin1'), bitmapsOf(numbers, true)]
  for (const number of numbers.sort((a, b) => a - b)) {
    const field = ISO87_FIELDS.get(number)!
    const text = message.fields[number]!
    const value = text.startsWith('hex:')
      ? Buffer.from(text.slice(4), 'hex')
      : Buffer.from(text, 'latin1')
    const length = field.kind === 'b' ? value.length / 2 : value.length
    if (field.prefix !== '') {
      parts.push(Buffer.from(String(length).padStart(field.prefix.length, '0'), 'latin1'))
    }
    parts.push(value)
  }
  return Buffer.concat(parts)
}

/** Builds what slowDecodeVisa reads. */
export function slowBuildVisa(message: SlowMessage): Buffer {
  const numbers = Object.keys(message.fields).map(Number)
  const parts = [Buffer.from(message.mti, 'hex'), bitmapsOf(numbers, false)]
  for (const number of numbers.sort((a, b) => a - b)) {
    const field = VISA_FIELDS.get(number)!
    const text = message.fields[number]!
    let value: Buffer
    let length = text.length
    if (field.kind === 'b' || text.startsWith('hex:')) {
      value = Buffer.from(text.replace('hex:', ''), 'hex')
      length = value.length
    } else if (field.kind === 'ans' || field.kind === 'x') value = toEbcdic(text)
    else value = Buffer.from(text.length % 2 === 0 ? text : `0${text}`, 'hex')
    if (field.prefix !== '') {
      const prefix = Buffer.alloc(Number(field.prefix[0]))
      prefix.writeUIntBE(length, 0, prefix.length)
      parts.push(prefix)
    }
    parts.push(value)
  }
  return Buffer.concat(parts)
}
