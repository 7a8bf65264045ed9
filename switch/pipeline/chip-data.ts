/**
 * DE55 as a lookup by tag: the first occurrence counts, what does not parse gives null (emv-pboc.md
 * section 1).
 *
 * Used by the steps that verify cryptograms. It copies nothing and changes nothing.
 */

import { parseTlv } from '../../emv/tlv.ts'

export type TlvLookup = (tag: number) => Uint8Array | undefined

/** Lookup over BER-TLV bytes; null when they are not well formed. */
export function tlvLookup(bytes: Uint8Array): TlvLookup | null {
  const items = parseTlv(bytes)
  if (!items) return null
  const byTag = new Map<number, Uint8Array>()
  for (const item of items) if (!byTag.has(item.tag)) byTag.set(item.tag, item.value)
  return (tag) => byTag.get(tag)
}
