/**
 * The TCP segment in a packet: link layer, IPv4 or IPv6, TCP.
 *
 * Used by console/pcap/frames.ts. What is no TCP, or is a fragment of IP, gives null. Link layers:
 * Ethernet with VLAN tags, Linux cooked v1 and v2, BSD loopback, raw IP.
 */

export interface TcpSegment {
  /** `10.0.0.1:7102`; IPv6 addresses in brackets. */
  readonly from: string
  readonly to: string
  readonly sequence: number
  readonly syn: boolean
  /** FIN or RST. */
  readonly ends: boolean
  /** Shorter than it was on the wire when the capture cut the packet: the rest is a hole. */
  readonly payload: Uint8Array
}

const ETHERNET = 1
const RAW = [12, 14, 101]
const LOOPBACK = [0, 108]
const COOKED = 113
const COOKED_2 = 276
const IPV4_ONLY = 228
const IPV6_ONLY = 229
const ETHER_IPV4 = 0x0800
const ETHER_IPV6 = 0x86dd
const ETHER_TAGS = [0x8100, 0x88a8]
const TCP = 6
/** Extension headers of IPv6 that may stand before TCP: hop-by-hop, routing, destination. */
const IPV6_EXTENSIONS = [0, 43, 60]

/** The segment of a packet, null when there is none that can be read. */
export function segmentOf(link: number, bytes: Uint8Array): TcpSegment | null {
  const at = networkStart(link, bytes)
  if (at < 0 || at >= bytes.length) return null
  const version = byteAt(bytes, at) >> 4
  if (version === 4) return overIpv4(bytes, at)
  return version === 6 ? overIpv6(bytes, at) : null
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0
}

function u16(bytes: Uint8Array, at: number): number {
  return byteAt(bytes, at) * 256 + byteAt(bytes, at + 1)
}

/** Offset of the IP header, -1 when the link layer carries something else. */
function networkStart(link: number, bytes: Uint8Array): number {
  if (RAW.includes(link) || link === IPV4_ONLY || link === IPV6_ONLY) return 0
  if (LOOPBACK.includes(link)) return 4
  const typeAt = link === ETHERNET ? 12 : link === COOKED ? 14 : link === COOKED_2 ? 0 : -1
  if (typeAt < 0) return -1
  let at = typeAt
  while (link === ETHERNET && ETHER_TAGS.includes(u16(bytes, at))) at += 4
  const type = u16(bytes, at)
  if (type !== ETHER_IPV4 && type !== ETHER_IPV6) return -1
  return link === COOKED_2 ? 20 : at + 2
}

function overIpv4(bytes: Uint8Array, at: number): TcpSegment | null {
  const header = (byteAt(bytes, at) & 15) * 4
  const fragment = u16(bytes, at + 6) & 0x3fff // more fragments, or an offset
  if (header < 20 || fragment !== 0 || byteAt(bytes, at + 9) !== TCP) return null
  const end = at + (u16(bytes, at + 2) || bytes.length - at) // 0: the card cuts large sends itself
  const from = [...bytes.subarray(at + 12, at + 16)].join('.')
  const to = [...bytes.subarray(at + 16, at + 20)].join('.')
  return segment(bytes, at + header, end, from, to)
}

function overIpv6(bytes: Uint8Array, at: number): TcpSegment | null {
  let next = byteAt(bytes, at + 6)
  let start = at + 40
  while (IPV6_EXTENSIONS.includes(next) && start + 8 <= bytes.length) {
    next = byteAt(bytes, start)
    start += (byteAt(bytes, start + 1) + 1) * 8
  }
  if (next !== TCP) return null
  const end = at + 40 + u16(bytes, at + 4)
  return segment(bytes, start, end, address6(bytes, at + 8), address6(bytes, at + 24))
}

function address6(bytes: Uint8Array, at: number): string {
  const groups = Array.from({ length: 8 }, (_, i) => u16(bytes, at + i * 2).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname // in its short form, RFC 5952
}

function segment(
  bytes: Uint8Array, at: number, end: number, from: string, to: string,
): TcpSegment | null {
  const header = (byteAt(bytes, at + 12) >> 4) * 4
  if (header < 20 || at + header > bytes.length || at + header > end) return null
  const flags = byteAt(bytes, at + 13)
  return {
    from: `${from}:${u16(bytes, at)}`,
    to: `${to}:${u16(bytes, at + 2)}`,
    sequence: u16(bytes, at + 4) * 65_536 + u16(bytes, at + 6),
    syn: (flags & 2) !== 0,
    ends: (flags & 5) !== 0,
    payload: bytes.subarray(at + header, Math.min(end, bytes.length)),
  }
}
