// ULID: the identifier of a transaction. 48 bits of wall time, 80 bits of chance, 26 characters,
// sortable by time (github.com/ulid/spec). Two of one millisecond have no promised order; the
// database's sequence decides order where it matters.
import type { Clock } from './clock.ts'
import type { Random } from './random.ts'

/** Crockford's base 32: digits and capitals without I, L, O, U. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const TIME_CHARS = 10
const RANDOM_BYTES = 10
const WALL_MS_MAX = 2 ** 48 - 1 // the year 10889

/**
 * A new ULID.
 *
 * @param clock gives the wall time in the first 10 characters
 * @param random gives the 80 bits in the last 16
 * @throws RangeError when the wall clock is before 1970 or beyond 48 bits
 */
export function ulid(clock: Clock, random: Random): string {
  let ms = Math.floor(clock.wallMs())
  if (!(ms >= 0) || ms > WALL_MS_MAX) throw new RangeError(`wall time beyond a ULID: ${ms}`)
  let time = ''
  for (let i = 0; i < TIME_CHARS; i++) {
    time = ALPHABET.charAt(ms % 32) + time
    ms = Math.floor(ms / 32)
  }
  const chance = random.bytes(RANDOM_BYTES)
  return time + base32(chance.subarray(0, 5)) + base32(chance.subarray(5))
}

/** 5 bytes (40 bits, exact in a double) as 8 characters. */
function base32(five: Buffer): string {
  let rest = five.readUIntBE(0, 5)
  let text = ''
  for (let i = 0; i < 8; i++) {
    text = ALPHABET.charAt(rest % 32) + text
    rest = Math.floor(rest / 32)
  }
  return text
}
