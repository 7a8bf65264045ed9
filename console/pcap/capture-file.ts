/**
 * Packets of a capture file: pcap (tcpdump, both byte orders, micro- and nanoseconds) and pcapng.
 *
 * Used by console/pcap/frames.ts. Pure: bytes in, packets out. It never throws for what a file
 * holds: a file that breaks off ends there, a block that it does not know is passed over.
 * Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
 */

export interface Packet {
  /** LINKTYPE_ number of the interface. */
  readonly link: number
  /** Microseconds since 1970; 0 when the file has none. */
  readonly atUs: number
  readonly bytes: Uint8Array
}

/** Why a file cannot be read at all; null when packets follow. */
export type CaptureFault = 'not_a_capture' | null

const PCAP_MAGIC = 0xa1b2c3d4
const PCAP_NANO_MAGIC = 0xa1b23c4d
const SECTION = 0x0a0d0d0a
const SECTION_ORDER = 0x1a2b3c4d
const INTERFACE = 1
const SIMPLE_PACKET = 3
const ENHANCED_PACKET = 6
const OPTION_RESOLUTION = 9
const PCAP_HEAD_BYTES = 24
const RECORD_HEAD_BYTES = 16

/** Numbers of a file in its own byte order; -1 outside the file. */
class Numbers {
  readonly bytes: Uint8Array
  readonly #view: DataView
  little: boolean

  constructor(bytes: Uint8Array, little: boolean) {
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.little = little
  }

  u16(at: number): number {
    return at + 2 <= this.bytes.length ? this.#view.getUint16(at, this.little) : -1
  }

  u32(at: number): number {
    return at + 4 <= this.bytes.length ? this.#view.getUint32(at, this.little) : -1
  }
}

/** Whether the bytes begin as one of the two formats does. */
export function captureFault(file: Uint8Array): CaptureFault {
  const first = new Numbers(file, true).u32(0)
  const other = new Numbers(file, false).u32(0)
  const known = [PCAP_MAGIC, PCAP_NANO_MAGIC, SECTION]
  return known.includes(first) || known.includes(other) ? null : 'not_a_capture'
}

/** The packets of a file in its order; none when it is no capture. */
export function* packetsOf(file: Uint8Array): Generator<Packet> {
  const little = new Numbers(file, true)
  if (little.u32(0) === SECTION) yield* pcapngPackets(little)
  else {
    const magic = little.u32(0)
    const isLittle = magic === PCAP_MAGIC || magic === PCAP_NANO_MAGIC
    yield* pcapPackets(new Numbers(file, isLittle))
  }
}

function* pcapPackets(numbers: Numbers): Generator<Packet> {
  const magic = numbers.u32(0)
  if (magic !== PCAP_MAGIC && magic !== PCAP_NANO_MAGIC) return
  const perMicrosecond = magic === PCAP_NANO_MAGIC ? 1000 : 1
  const link = numbers.u32(20) & 0xffff
  let at = PCAP_HEAD_BYTES
  while (at + RECORD_HEAD_BYTES <= numbers.bytes.length) {
    const seconds = numbers.u32(at)
    const fraction = numbers.u32(at + 4)
    const end = at + RECORD_HEAD_BYTES + numbers.u32(at + 8)
    if (end > numbers.bytes.length) return
    const bytes = numbers.bytes.subarray(at + RECORD_HEAD_BYTES, end)
    yield { link, atUs: seconds * 1e6 + Math.floor(fraction / perMicrosecond), bytes }
    at = end
  }
}

interface Interface {
  readonly link: number
  /** Ticks of a second. */
  readonly ticks: number
}

function* pcapngPackets(numbers: Numbers): Generator<Packet> {
  let interfaces: Interface[] = []
  let at = 0
  while (at + 12 <= numbers.bytes.length) {
    if (numbers.u32(at) === SECTION) {
      numbers.little = true
      if (numbers.u32(at + 8) !== SECTION_ORDER) numbers.little = false
      interfaces = []
    }
    const type = numbers.u32(at)
    const length = numbers.u32(at + 4)
    const end = at + length
    if (length < 12 || length % 4 !== 0 || end > numbers.bytes.length) return
    if (type === INTERFACE) interfaces.push(interfaceAt(numbers, at, end))
    const packet = type === ENHANCED_PACKET ? enhanced(numbers, at, end, interfaces)
      : type === SIMPLE_PACKET ? simple(numbers, at, end, interfaces)
      : null
    if (packet !== null) yield packet
    at = end
  }
}

function interfaceAt(numbers: Numbers, at: number, end: number): Interface {
  let ticks = 1e6
  let option = at + 16
  while (option + 4 <= end - 4) {
    const code = numbers.u16(option)
    const size = numbers.u16(option + 2)
    if (code === 0) break
    if (code === OPTION_RESOLUTION && size >= 1) {
      const value = numbers.bytes[option + 4] ?? 6
      ticks = value > 127 ? 2 ** (value - 128) : 10 ** value
    }
    option += 4 + size + ((4 - (size % 4)) % 4)
  }
  return { link: numbers.u16(at + 8), ticks }
}

function enhanced(
  numbers: Numbers, at: number, end: number, interfaces: readonly Interface[],
): Packet | null {
  const known = interfaces[numbers.u32(at + 8)]
  const size = numbers.u32(at + 20)
  if (known === undefined || size < 0 || at + 28 + size > end - 4) return null
  const ticks = numbers.u32(at + 12) * 2 ** 32 + numbers.u32(at + 16)
  const bytes = numbers.bytes.subarray(at + 28, at + 28 + size)
  return { link: known.link, atUs: Math.floor((ticks / known.ticks) * 1e6), bytes }
}

function simple(
  numbers: Numbers, at: number, end: number, interfaces: readonly Interface[],
): Packet | null {
  const [known] = interfaces
  if (known === undefined || at + 12 > end - 4) return null
  const size = Math.min(numbers.u32(at + 8), end - 4 - (at + 12))
  return { link: known.link, atUs: 0, bytes: numbers.bytes.subarray(at + 12, at + 12 + size) }
}
