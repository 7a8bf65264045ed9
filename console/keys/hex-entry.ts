// Hex digits of a component as they were typed, to bytes, without a string in between. PURE. Used
// by ceremony.ts and tests. The caller wipes both.

const BLANKS: ReadonlySet<number> = new Set([0x20, 0x2d, 0x09]) // space, hyphen, tab

/** The bytes of exactly `bytes` bytes in hex; blanks and hyphens between digits; null otherwise. */
export function readHexBytes(typed: Uint8Array, bytes: number): Uint8Array | null {
  const out = new Uint8Array(bytes)
  let digits = 0
  let bad = false
  for (const code of typed) {
    if (BLANKS.has(code)) continue
    const digit = digitOf(code)
    if (digit < 0 || digits >= bytes * 2) {
      bad = true
      break
    }
    const at = digits >> 1
    out[at] = digits % 2 === 0 ? digit << 4 : out[at]! | digit
    digits += 1
  }
  if (!bad && digits === bytes * 2) return out
  out.fill(0)
  return null
}

function digitOf(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const upper = code & 0xdf
  return upper >= 0x41 && upper <= 0x46 ? upper - 0x37 : -1
}
