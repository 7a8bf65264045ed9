// hot path
/**
 * Byte tables of the codings: digits, hexadecimal, EBCDIC. Built once at start, read by walk, view
 * and writer.
 *
 * EBCDIC is code page 037 restricted to the characters that ASCII has too, so that the map is one
 * to one and every other byte is shown as hexadecimal. (Code page 500 agrees for letters, digits,
 * blank and most punctuation.)
 */

/** Value of an ASCII hexadecimal digit, 255 for any other byte. */
export const HEX_VALUE = new Uint8Array(256).fill(255)
/** Value of an EBCDIC hexadecimal digit (F0-F9, C1-C6, 81-86), 255 for any other byte. */
export const HEX_VALUE_EBCDIC = new Uint8Array(256).fill(255)
/** ASCII code of a nibble, upper case. */
export const NIBBLE_ASCII = Uint8Array.from('0123456789ABCDEF', (c) => c.charCodeAt(0))
export const NIBBLE_ASCII_LOWER = Uint8Array.from('0123456789abcdef', (c) => c.charCodeAt(0))
/** 1 when either nibble of a byte is above 9. */
export const BCD_BAD = new Uint8Array(256)
/** Value 0-99 of a BCD byte, 255 when it is none. */
export const BCD_VALUE = new Uint8Array(256).fill(255)
/** BCD byte of a number 0-99. */
export const BCD_BYTE = new Uint8Array(100)
/** ASCII code of an EBCDIC byte, 0 when ASCII has no such printable character. */
export const EBCDIC_TO_ASCII = new Uint8Array(256)
/** EBCDIC byte of an ASCII code, 0 when it is not printable ASCII. */
export const ASCII_TO_EBCDIC = new Uint8Array(256)
/** 1 for printable ASCII (20 to 7E): the plain character set of the ASCII dialects. */
export const ASCII_PLAIN = new Uint8Array(256).fill(1, 0x20, 0x7f)

/** Runs of code page 037: first EBCDIC byte, then the ASCII characters from there on. */
const CODE_PAGE_037: readonly (readonly [number, string])[] = [
  [0x40, ' '], [0x4b, '.<(+|&'], [0x5a, '!$*);'], [0x60, '-/'], [0x6b, ',%_>?'], [0x79, '`:#@\'="'],
  [0x81, 'abcdefghi'], [0x91, 'jklmnopqr'], [0xa1, '~stuvwxyz'], [0xb0, '^'], [0xba, '[]'],
  [0xc0, '{ABCDEFGHI'], [0xd0, '}JKLMNOPQR'], [0xe0, '\\'], [0xe2, 'STUVWXYZ'], [0xf0, '0123456789'],
]

for (let i = 0; i < 256; i++) {
  const high = i >> 4
  const low = i & 15
  if (high > 9 || low > 9) BCD_BAD[i] = 1
  else {
    BCD_VALUE[i] = high * 10 + low
    BCD_BYTE[high * 10 + low] = i
  }
}
for (const [first, characters] of CODE_PAGE_037) {
  for (let i = 0; i < characters.length; i++) {
    EBCDIC_TO_ASCII[first + i] = characters.charCodeAt(i)
    ASCII_TO_EBCDIC[characters.charCodeAt(i)] = first + i
  }
}
for (let value = 0; value < 16; value++) {
  for (const table of [NIBBLE_ASCII, NIBBLE_ASCII_LOWER]) {
    const code = table[value]!
    HEX_VALUE[code] = value
    HEX_VALUE_EBCDIC[ASCII_TO_EBCDIC[code]!] = value
  }
}
