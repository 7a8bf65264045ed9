/**
 * What a message's bytes say beyond its values: how it deviates from what MessageWriter would write
 * for them.
 *
 * Used by tools that show a message as text and must write the same bytes again. A link forwards
 * bytes instead.
 */
import { CHECK, FORM, UNIT, bytesOf } from './dialect.ts'
import { HEX_VALUE, HEX_VALUE_EBCDIC } from './codings/tables.ts'
import type { View } from './view.ts'
import { bitmapIsLower } from './writer.ts'
import type { WireVariant } from './writer.ts'

/** The variant of one field; null when the writer's own form gives the same bytes. */
export function fieldVariant(view: View, field: number): WireVariant | null {
  const dialect = view.dialect
  const check = dialect.check[field]!
  const variant: WireVariant = {}
  if (check === CHECK.bcdDigits || check === CHECK.bcdNibbles || check === CHECK.signBcd) {
    const pad = padNibble(view, field)
    if (pad !== null && pad !== dialect.pad[field]) variant.pad = HEX_DIGITS[pad]!
  }
  if ((check === CHECK.hexAscii || check === CHECK.hexEbcdic) && hasLowerCase(view, field)) {
    variant.hex = 'lower'
  }
  if (dialect.prefixUnit[field] === UNIT.bytesOrDigits && prefixCountsDigits(view, field)) {
    variant.unit = 'digits'
  }
  return Object.keys(variant).length === 0 ? null : variant
}

const HEX_DIGITS = [...'0123456789ABCDEF']

export interface BitmapVariant {
  /** Bitmaps on the wire, when the last of them is empty. */
  count?: number
  hex?: 'lower'
}

/** The variant of the bitmaps; null when the writer's own form gives the same bytes. */
export function bitmapVariant(view: View): BitmapVariant | null {
  const variant: BitmapVariant = {}
  let needed = 1
  for (const field of view.fields()) needed = Math.max(needed, Math.ceil(field / 64))
  if (view.bitmapCount > needed) variant.count = view.bitmapCount
  if (bitmapIsLower(view)) variant.hex = 'lower'
  return Object.keys(variant).length === 0 ? null : variant
}

/** The nibble that fills an odd count; null when the count is even. */
function padNibble(view: View, field: number): number | null {
  const form = view.dialect.form[field]
  const signed = form === FORM.signedBcd
  const count = view.count(field) - (signed ? 1 : 0)
  if ((count & 1) === 0) return null
  const raw = view.raw(field)
  return form === FORM.bcdLeft ? raw[raw.length - 1]! & 15 : raw[signed ? 1 : 0]! >> 4
}

function hasLowerCase(view: View, field: number): boolean {
  const ebcdic = view.dialect.check[field] === CHECK.hexEbcdic
  const table = ebcdic ? HEX_VALUE_EBCDIC : HEX_VALUE
  return view.raw(field).some((byte) => table[byte]! > 9 && (ebcdic ? byte < 0xc0 : byte >= 0x61))
}

function prefixCountsDigits(view: View, field: number): boolean {
  const prefix = view.frame[view.valueStart(field) - 1]
  return prefix !== bytesOf(view.dialect.form[field]!, view.count(field))
}
