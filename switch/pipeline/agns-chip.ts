/**
 * Chip data as American Express carries it in DE55: `AGNS` in EBCDIC, version 0001, then values in
 * a fixed order without tags.
 *
 * Used by read-request.ts and items.ts. Layout: amex.md section 6 (public decoder; the answer's
 * layout is from memory and awaits the licensed guide). Values may end early, in whole elements.
 */

import { encodeTlv, findTlv } from '../../emv/tlv.ts'

/** `AGNS` in EBCDIC and version 0001: no BER-TLV of ours begins with tag C1. */
const MARK = Buffer.from('C1C7D5E20001', 'hex')
const TAG_IAD = 0x9f10
const IAD_BYTES_MAX = 32

/** Tags in the order of the request, with the bytes of each; 0: one byte of length before it. */
const ORDER: ReadonlyArray<readonly [tag: number, bytes: number]> = [
  [0x9f26, 8], [TAG_IAD, 0], [0x9f37, 4], [0x9f36, 2], [0x95, 5], [0x9a, 3], [0x9c, 1],
  [0x9f02, 6], [0x5f2a, 2], [0x9f1a, 2], [0x82, 2], [0x9f03, 6], [0x5f34, 1], [0x9f27, 1],
]

/** Issuer authentication data and issuer script, each after one byte of length. */
const ANSWER: ReadonlyArray<readonly [tag: number, bytes: number]> = [[0x91, 0], [0x71, 0]]

/** The TLVs of DE55; null when the bytes are not of this form or break off within an element. */
export function tlvsOfAgns(bytes: Uint8Array, inAnswer: boolean): Uint8Array | null {
  if (bytes.length < MARK.length || !MARK.equals(bytes.subarray(0, MARK.length))) return null
  const parts: Buffer[] = []
  let at = MARK.length
  for (const [tag, fixed] of inAnswer ? ANSWER : ORDER) {
    if (at === bytes.length) break
    const size = fixed === 0 ? bytes[at++]! : fixed
    if (tag === TAG_IAD && size > IAD_BYTES_MAX) return null
    if (at + size > bytes.length) return null
    parts.push(encodeTlv(tag, bytes.subarray(at, at + size)))
    at += size
  }
  return at === bytes.length ? Buffer.concat(parts) : null
}

/** DE55 of a request; ends before the first element that the card data does not have. */
export function agnsOfTlvs(tlvs: Uint8Array): Uint8Array | null {
  const parts: Uint8Array[] = [MARK]
  for (const [tag, fixed] of ORDER) {
    const value = findTlv(tlvs, tag)
    if (value === null || (fixed !== 0 && value.length !== fixed)) break
    if (fixed === 0) parts.push(Uint8Array.of(value.length))
    parts.push(value)
  }
  return parts.length === 1 ? null : Buffer.concat(parts)
}

/** DE55 of an answer; null when there is nothing for the card. */
export function agnsAnswerOfTlvs(tlvs: Uint8Array): Uint8Array | null {
  const parts: Uint8Array[] = [MARK]
  for (const [tag] of ANSWER) {
    const value = findTlv(tlvs, tag)
    if (value === null) break
    parts.push(Uint8Array.of(value.length), value)
  }
  return parts.length === 1 ? null : Buffer.concat(parts)
}
