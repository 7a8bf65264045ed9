/**
 * Capture files as bytes, written slowly and plainly: what tests of capture readers feed them.
 * pcap: tcpdump's file format, version 2.4. pcapng: section header, interface, enhanced packets.
 */

/** One TCP segment between two IPv4 hosts; times count microseconds. */
export interface Segment {
  readonly fromPort: number
  readonly toPort: number
  readonly sequence: number
  readonly payload: Uint8Array
  /** S and F as in tcpdump; data segments carry neither. */
  readonly flags?: 'syn' | 'fin' | 'rst'
  readonly atUs?: number
}

/** Cuts a stream of bytes into segments of `size` bytes from sequence number `first`. */
export function segmentsOf(
  stream: Uint8Array, ports: readonly [from: number, to: number], size: number, first = 1000,
): Segment[] {
  const found: Segment[] = []
  for (let at = 0; at < stream.length; at += size) {
    const payload = stream.subarray(at, at + size)
    found.push({ fromPort: ports[0], toPort: ports[1], sequence: (first + at) >>> 0, payload })
  }
  return found
}

function tcp(segment: Segment): Buffer {
  const header = Buffer.alloc(20)
  header.writeUInt16BE(segment.fromPort, 0)
  header.writeUInt16BE(segment.toPort, 2)
  header.writeUInt32BE(segment.sequence, 4)
  header[12] = 0x50
  header[13] = { syn: 0x02, fin: 0x11, rst: 0x04, data: 0x18 }[segment.flags ?? 'data']
  header.writeUInt16BE(65_535, 14)
  return Buffer.concat([header, segment.payload])
}

function ipv4(payload: Uint8Array): Buffer {
  const header = Buffer.alloc(20)
  header[0] = 0x45
  header.writeUInt16BE(20 + payload.length, 2)
  header[8] = 64
  header[9] = 6
  header.set([127, 0, 0, 1], 12)
  header.set([127, 0, 0, 1], 16)
  let sum = 0
  for (let at = 0; at < 20; at += 2) sum += header.readUInt16BE(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  header.writeUInt16BE(~sum & 0xffff, 10)
  return Buffer.concat([header, payload])
}

function ipv6(payload: Uint8Array): Buffer {
  const header = Buffer.alloc(40)
  header[0] = 0x60
  header.writeUInt16BE(payload.length, 4)
  header[6] = 6
  header[7] = 64
  header[23] = 1
  header[39] = 1
  return Buffer.concat([header, payload])
}

const etherType = (v6: boolean): number[] => (v6 ? [0x86, 0xdd] : [8, 0])
const filled = (count: number, byte: number): number[] => Array<number>(count).fill(byte)

/** Link layers that captures have, by their number in the file. */
const LINK = {
  ethernet: { number: 1, header: (v6: boolean) => [...filled(12, 2), ...etherType(v6)] },
  vlan: { number: 1, header: () => [...filled(12, 2), 0x81, 0, 0, 5, 8, 0] },
  raw: { number: 101, header: () => [] },
  loopback: { number: 0, header: (v6: boolean) => [v6 ? 30 : 2, 0, 0, 0] },
  cooked: { number: 113, header: (v6: boolean) => [...filled(14, 0), ...etherType(v6)] },
} as const
export type LinkLayer = keyof typeof LINK

export interface CaptureForm {
  readonly link?: LinkLayer
  readonly v6?: boolean
  readonly bigEndian?: boolean
}

function packets(segments: readonly Segment[], form: CaptureForm): Buffer[] {
  const { header } = LINK[form.link ?? 'ethernet']
  const v6 = form.v6 === true
  return segments.map((one) => {
    return Buffer.concat([Buffer.from(header(v6)), v6 ? ipv6(tcp(one)) : ipv4(tcp(one))])
  })
}

/** Numbers of 32 bits in the byte order of the file. */
function words(bigEndian: boolean, ...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [i, value] of values.entries()) {
    if (bigEndian) bytes.writeUInt32BE(value, i * 4)
    else bytes.writeUInt32LE(value, i * 4)
  }
  return bytes
}

/** A pcap file with microseconds. */
export function pcapFile(segments: readonly Segment[], form: CaptureForm = {}): Buffer {
  const big = form.bigEndian === true
  const version = big ? Buffer.from([0, 2, 0, 4]) : Buffer.from([2, 0, 4, 0])
  const head = [
    words(big, 0xa1b2c3d4), version, words(big, 0, 0, 65_535, LINK[form.link ?? 'ethernet'].number),
  ]
  const body = packets(segments, form).flatMap((packet, i) => {
    const at = segments[i]?.atUs ?? i * 1000
    const length = packet.length
    return [words(big, 1_700_000_000 + Math.floor(at / 1e6), at % 1e6, length, length), packet]
  })
  return Buffer.concat([...head, ...body])
}

/** A pcapng file: one section, one interface, enhanced packet blocks. */
export function pcapngFile(segments: readonly Segment[], form: CaptureForm = {}): Buffer {
  const big = form.bigEndian === true
  const block = (type: number, body: Buffer): Buffer => {
    const length = 12 + body.length
    return Buffer.concat([words(big, type, length), body, words(big, length)])
  }
  const link = LINK[form.link ?? 'ethernet'].number
  const short = big ? Buffer.from([0, link, 0, 0]) : Buffer.from([link, 0, 0, 0])
  const version = big ? Buffer.from([0, 1, 0, 0]) : Buffer.from([1, 0, 0, 0])
  const unknown = Buffer.alloc(8, 0xff)
  return Buffer.concat([
    block(0x0a0d0d0a, Buffer.concat([words(big, 0x1a2b3c4d), version, unknown])),
    block(1, Buffer.concat([short, words(big, 65_535)])),
    ...packets(segments, form).map((packet) => {
      const padding = Buffer.alloc((4 - (packet.length % 4)) % 4)
      const head = words(big, 0, 0, 0, packet.length, packet.length)
      return block(6, Buffer.concat([head, packet, padding]))
    }),
  ])
}
