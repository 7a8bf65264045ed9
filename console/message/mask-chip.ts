/**
 * Masks what chip data carries of a card: PAN, track 2, cardholder name (emv tags 5A, 57, 5F20 and
 * their like).
 *
 * Used when DE55 is shown without --show-sensitive. Fails closed: chip data that do not parse are
 * masked whole.
 */
import { isConstructed, parseTlv, tagText } from '../../emv/tlv.ts'
import type { TlvItem } from '../../emv/tlv.ts'
import { maskPan, maskTrack } from '../../switch/codec/mask.ts'

const STAR = '*'
const PAN_TAGS: ReadonlySet<number> = new Set([0x5a])
const TRACK_TAGS: ReadonlySet<number> = new Set([0x57, 0x9f6b])
/** Cardholder name, track 1 and 2 discretionary data, track 1, PIN data. */
const DROP_TAGS: ReadonlySet<number> = new Set([0x5f20, 0x9f0b, 0x9f1f, 0x9f20, 0x56, 0x99])

/**
 * Hexadecimal text of the objects' bytes from `start` on, with sensitive values masked; same length
 * as the bytes.
 */
export function maskTlvHex(bytes: Uint8Array, start = 0): string {
  const text = Buffer.from(bytes).toString('hex').toUpperCase()
  const items = parseTlv(bytes, start)
  if (items === null) return text.slice(0, start * 2) + STAR.repeat(text.length - start * 2)
  let out = text
  for (const item of items) {
    out = out.slice(0, item.valueStart * 2) + maskTlvValue(item) + out.slice(item.end * 2)
  }
  return out
}

/** Hexadecimal of one value as it may be shown. */
export function maskTlvValue(item: TlvItem): string {
  const text = Buffer.from(item.value).toString('hex').toUpperCase()
  if (PAN_TAGS.has(item.tag)) {
    const digits = text.replace(/F+$/, '')
    return maskPan(digits) + text.slice(digits.length)
  }
  if (TRACK_TAGS.has(item.tag)) return maskTrack(text)
  if (DROP_TAGS.has(item.tag)) return STAR.repeat(text.length)
  return isConstructed(item.tag) ? maskTlvHex(item.value) : text
}

/** Tag to hexadecimal value; a tag that occurs more than once has a list, in order. */
export function tlvRecord(
  items: readonly TlvItem[], showSensitive: boolean,
): Record<string, unknown> {
  const out: Record<string, unknown> = {}
  for (const item of items) {
    const name = tagText(item.tag)
    const value = showSensitive
      ? Buffer.from(item.value).toString('hex').toUpperCase()
      : maskTlvValue(item)
    const before = out[name]
    out[name] = before === undefined
      ? value
      : Array.isArray(before) ? [...(before as unknown[]), value] : [before, value]
  }
  return out
}
