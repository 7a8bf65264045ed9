/**
 * Bytes of a line of hexadecimal, with spaces, colons or dashes between bytes, or 0x before them.
 */

/**
 * The bytes, or the index of the first character that is no hexadecimal (the line's length for an
 * odd count).
 */
export function bytesOfHexLine(line: string): Uint8Array | number {
  const start = /^\s*(0[xX])?/.exec(line)?.[0].length ?? 0
  const out = Buffer.allocUnsafe((line.length - start) >> 1)
  let held = -1
  let at = 0
  for (let i = start; i < line.length; i++) {
    const code = line.charCodeAt(i)
    const value = hexValue(code)
    if (value >= 0) {
      if (held < 0) held = value
      else {
        out[at++] = (held << 4) | value
        held = -1
      }
      continue
    }
    const separator = code === 0x20 || code === 0x09 || code === 0x3a || code === 0x2d ||
      code === 0x0d
    if (!separator || held >= 0) return i
  }
  return held >= 0 ? line.length : out.subarray(0, at)
}

function hexValue(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const letter = code | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}
