// hot path
/**
 * Framings with a plain length prefix: two or four bytes binary, two bytes BCD, four ASCII digits,
 * and VisaNet's four bytes of which two are the length. Used through framings.ts.
 */
import { LENGTH_NOT_DECIMAL, LENGTH_OUT_OF_RANGE } from './framer.ts'
import type { Cut } from './framer.ts'
import type { Envelope } from './envelope.ts'

/** How a length is written before a frame. */
export interface LengthPrefix {
  readonly bytes: number
  /** The number in the prefix, LENGTH_NOT_DECIMAL when it is none. */
  read(bytes: Uint8Array, at: number): number
  write(target: Buffer, at: number, length: number): void
  /** Largest number it can hold. */
  readonly max: number
}

export const twoBytes: LengthPrefix = {
  bytes: 2,
  max: 0xffff,
  read: (bytes, at) => bytes[at]! * 256 + bytes[at + 1]!,
  write: (target, at, length) => { target.writeUInt16BE(length, at) },
}

export const fourBytes: LengthPrefix = {
  bytes: 4,
  max: 0xffffffff,
  read: (bytes, at) => ((bytes[at]! * 256 + bytes[at + 1]!) * 256 + bytes[at + 2]!) * 256 +
    bytes[at + 3]!,
  write: (target, at, length) => { target.writeUInt32BE(length, at) },
}

export const twoBcdBytes: LengthPrefix = {
  bytes: 2,
  max: 9999,
  read: (bytes, at) => {
    const high = bytes[at]!
    const low = bytes[at + 1]!
    if (high >> 4 > 9 || (high & 15) > 9 || low >> 4 > 9 || (low & 15) > 9) {
      return LENGTH_NOT_DECIMAL
    }
    return ((high >> 4) * 10 + (high & 15)) * 100 + (low >> 4) * 10 + (low & 15)
  },
  write: (target, at, length) => { target.write(String(length).padStart(4, '0'), at, 'hex') },
}

export const fourDigits: LengthPrefix = {
  bytes: 4,
  max: 9999,
  read: (bytes, at) => {
    let value = 0
    for (let i = 0; i < 4; i++) {
      const digit = bytes[at + i]! - 0x30
      if (digit < 0 || digit > 9) return LENGTH_NOT_DECIMAL
      value = value * 10 + digit
    }
    return value
  },
  write: (target, at, length) => { target.write(String(length).padStart(4, '0'), at, 'latin1') },
}

/**
 * VisaNet: bytes 0 and 1 are the length of what follows, byte 2 is reserved, byte 3 has the message
 * format in its high nibble: 0 is application data, 2 is session control, which only keeps the
 * connection open.
 */
export const visaPrefix: LengthPrefix = {
  bytes: 4,
  max: 0xffff,
  read: (bytes, at) => bytes[at]! * 256 + bytes[at + 1]!,
  write: (target, at, length) => {
    target.writeUInt16BE(length, at)
    target.writeUInt16BE(0, at + 2)
  },
}

const SESSION_CONTROL = 2

/**
 * Cuts frames by a length prefix. `envelopeMin`: a frame shorter than its envelope has an
 * impossible length.
 */
export function prefixedCut(
  prefix: LengthPrefix, envelope: Envelope, envelopeMin: number, countsItself: boolean,
): Cut {
  const own = countsItself ? prefix.bytes : 0
  return {
    prefixBytes: prefix.bytes,
    skipBytes: prefix.bytes,
    keepAliveBytes: (bytes, at) => {
      for (let i = 0; i < prefix.bytes; i++) if (bytes[at + i] === undefined) return 0
      return prefix.read(bytes, at) === 0 ? prefix.bytes : 0
    },
    isIdle: (bytes, start, end) =>
      end - start === prefix.bytes ||
        (prefix === visaPrefix && bytes[start + 3]! >> 4 === SESSION_CONTROL),
    frameBytes: (bytes, at) => {
      const length = prefix.read(bytes, at)
      if (length < 0) return LENGTH_NOT_DECIMAL
      const rest = length - own
      return rest < envelopeMin && rest !== 0 ? LENGTH_OUT_OF_RANGE : prefix.bytes + rest
    },
    envelopeBytes: (bytes, start, end) => envelope.measure(bytes, start, end),
  }
}
