/**
 * Bytes out of what people paste: hexadecimal with separators, dumps of tcpdump, xxd, hexdump and
 * Wireshark, base64, log lines. Packets of a capture are stripped of their Ethernet, IP and TCP
 * headers.
 *
 * Used by `message explain`. It guesses; whoever knows the form uses `decode`.
 */
import { bytesOfHexLine } from './hex-input.ts'

export interface Pasted {
  readonly bytes: Uint8Array
  /** What the text was taken for. */
  readonly form: 'hex' | 'dump' | 'base64' | 'log'
}

/** An offset, then bytes in hexadecimal in groups, then perhaps their characters. */
const DUMP_OFFSET = /^\s*(?:0x)?([0-9A-Fa-f]{4,8}):?\s+/
const DUMP_BYTES = /^((?:[0-9A-Fa-f]{2,8}[ \t]{1,2})*[0-9A-Fa-f]{2,8})(?:\s{2,}.*|\s+\|.*)?\s*$/
/** Bytes with at most one blank or colon between them, not part of a longer word. */
const HEX_RUN = /(?<![0-9A-Za-z])[0-9A-Fa-f]{2}(?:[ :]?[0-9A-Fa-f]{2})+(?![0-9A-Za-z])/g

/** Offset and bytes of a line of a dump, null when it is none. */
function dumpLine(line: string): { offset: number; hex: string } | null {
  const head = DUMP_OFFSET.exec(line)
  const rest = head === null ? null : DUMP_BYTES.exec(line.slice(head[0].length))
  if (head === null || rest === null) return null
  return { offset: parseInt(head[1] ?? '', 16), hex: (rest[1] ?? '').replace(/\s+/g, '') }
}

/** Bytes of the text, null when there are none in it. */
export function bytesOfPasted(text: string): Pasted | null {
  // No regular expression over all blanks: a long run of them would be tried from each one.
  const whole = bytesOfHexLine(text.split('\n').map((line) => line.trim()).join(' ').trim())
  if (typeof whole !== 'number' && whole.length > 0 && !looksLikeDump(text)) {
    return { bytes: whole, form: 'hex' }
  }
  const dumped = bytesOfDump(text)
  if (dumped !== null) return { bytes: withoutPacketHeaders(dumped), form: 'dump' }
  const compact = text.replace(/\s+/g, '')
  const run = longestHexRun(text)
  const isBase64 = /^[A-Za-z0-9+/]{16,}={0,2}$/.test(compact) && compact.length % 4 === 0
  if (isBase64 && run.length < compact.length / 2) {
    return { bytes: Buffer.from(compact, 'base64'), form: 'base64' }
  }
  return run.length >= 24 ? { bytes: Buffer.from(run, 'hex'), form: 'log' } : null
}

/** Several lines whose offsets count up: the first column is no content. */
function looksLikeDump(text: string): boolean {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  return lines.length > 0 && lines.every((line) => dumpLine(line) !== null) &&
    bytesOfDump(text) !== null
}

function bytesOfDump(text: string): Buffer | null {
  const parts: Buffer[] = []
  let expected = 0
  for (const line of text.split('\n')) {
    const found = dumpLine(line)
    if (found === null) continue
    if (found.offset !== expected) return null
    const bytes = Buffer.from(found.hex, 'hex').subarray(0, 16)
    parts.push(bytes)
    expected += bytes.length
  }
  return parts.length > 0 && (parts.length > 1 || expected === 16) ? Buffer.concat(parts) : null
}

/**
 * The longest stretch of an even count of hexadecimal digits, bytes separated by at most one blank
 * or colon.
 */
function longestHexRun(text: string): string {
  let best = ''
  for (const found of text.matchAll(HEX_RUN)) {
    const run = found[0].replace(/[ :]/g, '')
    if (run.length > best.length) best = run
  }
  return best
}

const ETHERNET_BYTES = 14
const PROTOCOL_TCP = 6

/**
 * The TCP payload of an Ethernet or IPv4 packet, or the bytes as they are when they are no packet.
 */
export function withoutPacketHeaders(bytes: Uint8Array): Uint8Array {
  const ethernet = bytes.length > ETHERNET_BYTES && bytes[12] === 0x08 && bytes[13] === 0x00
  const start = ethernet ? ETHERNET_BYTES : 0
  const first = bytes[start] ?? 0
  const headerBytes = (first & 15) * 4
  const total = (bytes[start + 2] ?? 0) * 256 + (bytes[start + 3] ?? 0)
  const isPacket = first >> 4 === 4 && headerBytes >= 20 && bytes[start + 9] === PROTOCOL_TCP &&
    total >= headerBytes + 20 && total <= bytes.length - start
  if (!isPacket) return bytes
  const tcp = start + headerBytes
  const payload = tcp + ((bytes[tcp + 12] ?? 0) >> 4) * 4
  return payload < start + total ? bytes.subarray(payload, start + total) : bytes
}
