// hot path
/**
 * BER-TLV of chip cards (EMV Book 3 annex B): DE55 and card records as a list of data objects, and
 * back.
 *
 * Called by steps that look into chip data, by masking and by tools. Values are parts of the given
 * bytes, not copies. Order and repetitions are kept. It never re-encodes what it was given: whoever
 * forwards DE55 forwards its bytes.
 */

export interface TlvItem {
  /** The tag's bytes as one number: 0x82, 0x9F26, 0xDF8101. */
  readonly tag: number
  readonly value: Uint8Array
  /** Offset of the tag, of the value and after the value, in the bytes that were parsed. */
  readonly start: number
  readonly valueStart: number
  readonly end: number
}

/** Tags of more bytes than this are refused; EMV uses one or two, three must be read. */
const TAG_BYTES_MAX = 4

/**
 * The data objects in bytes[start, end), in order; null when they are not well formed (a tag or
 * length cut off, an indefinite length, a value beyond the end). Zero bytes between objects are
 * padding and skipped.
 */
export function parseTlv(bytes: Uint8Array, start = 0, end = bytes.length): TlvItem[] | null {
  const items: TlvItem[] = []
  let at = start
  while (at < end) {
    if (bytes[at] === 0) {
      at++
      continue
    }
    const item = parseOne(bytes, at, end)
    if (item === null) return null
    items.push(item)
    at = item.end
  }
  return items
}

function parseOne(bytes: Uint8Array, start: number, end: number): TlvItem | null {
  let at = start
  let tag = bytes[at++]!
  if ((tag & 0x1f) === 0x1f) {
    let more = true
    while (more) {
      if (at >= end || at - start >= TAG_BYTES_MAX) return null
      const next = bytes[at++]!
      tag = tag * 256 + next
      more = (next & 0x80) !== 0
    }
  }
  if (at >= end) return null
  const first = bytes[at++]!
  let length = first
  if (first > 0x7f) {
    const count = first & 0x7f
    // 80 is the indefinite form, which EMV does not allow; more than three bytes exceed any frame.
    if (count === 0 || count > 3 || at + count > end) return null
    length = 0
    for (let i = 0; i < count; i++) length = length * 256 + bytes[at++]!
  }
  if (at + length > end) return null
  return { tag, value: bytes.subarray(at, at + length), start, valueStart: at, end: at + length }
}

/**
 * Value of the first object with that tag, templates not entered; null when it is absent or nothing
 * parses.
 */
export function findTlv(bytes: Uint8Array, tag: number): Uint8Array | null {
  const items = parseTlv(bytes)
  if (items === null) return null
  for (const item of items) if (item.tag === tag) return item.value
  return null
}

/** Whether the value of that tag is itself a list of objects (bit 6 of the first byte). */
export function isConstructed(tag: number): boolean {
  let first = tag
  while (first > 255) first = Math.trunc(first / 256)
  return (first & 0x20) !== 0
}

/** The tag as upper-case hexadecimal: `9F26`. */
export function tagText(tag: number): string {
  const text = tag.toString(16).toUpperCase()
  return text.length % 2 === 0 ? text : `0${text}`
}

/** One object with the shortest length form. Throws a RangeError for values of 64 KiB and more. */
export function encodeTlv(tag: number, value: Uint8Array): Buffer {
  const name = Buffer.from(tagText(tag), 'hex')
  const size = value.length
  if (size > 0xffff) throw new RangeError('tlv_value_too_long')
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 255]
  return Buffer.concat([name, Buffer.from(length), value])
}

/** Objects one after the other, with the shortest length forms. */
export function encodeTlvs(
  items: readonly { readonly tag: number; readonly value: Uint8Array }[],
): Buffer {
  return Buffer.concat(items.map((item) => encodeTlv(item.tag, item.value)))
}
