/**
 * A second reader of framings, slow and obvious: the whole stream at once, as text. Used by fuzz
 * targets, which compare every framer with it. It shares nothing with switch/framing.
 */

export interface SlowFrames {
  /** `idle`, or the envelope and the message in hexadecimal with a bar between them. */
  readonly events: readonly string[]
  readonly fault: string
  /** Bytes behind the last whole frame, when there is no fault. */
  readonly waiting: number
  /** Where frames, keep-alives and the rest begin. */
  readonly starts: readonly number[]
}

interface Layout {
  /** Bytes of the length prefix; 6 for `cups`, whose length is inside its header. */
  readonly prefix: number
  readonly number: 'binary' | 'bcd' | 'ascii' | 'header'
  readonly envelope: 'none' | 'tpdu' | 'tpdu+app' | 'cups'
}

const LAYOUTS: Readonly<Record<string, Layout>> = {
  visa: { prefix: 4, number: 'binary', envelope: 'none' },
  cups: { prefix: 6, number: 'header', envelope: 'cups' },
  cups4: { prefix: 4, number: 'ascii', envelope: 'cups' },
  '2b': { prefix: 2, number: 'binary', envelope: 'none' },
  '2b+tpdu': { prefix: 2, number: 'binary', envelope: 'tpdu' },
  '2b+tpdu+app': { prefix: 2, number: 'binary', envelope: 'tpdu+app' },
  '4ascii': { prefix: 4, number: 'ascii', envelope: 'none' },
  '4b': { prefix: 4, number: 'binary', envelope: 'none' },
  '2bcd': { prefix: 2, number: 'bcd', envelope: 'none' },
}

const ENVELOPE_LEAST = { none: 0, tpdu: 5, 'tpdu+app': 11, cups: 41 } as const

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

/** The number in a prefix, null when it is none. */
function numberOf(name: string, layout: Layout, bytes: Uint8Array): number | null {
  if (name === 'visa') return parseInt(hexOf(bytes.subarray(0, 2)), 16)
  if (layout.number === 'binary') return parseInt(hexOf(bytes.subarray(0, layout.prefix)), 16)
  const bcd = layout.number === 'bcd'
  const digits = bcd ? hexOf(bytes.subarray(0, 2)) : textOf(bytes.subarray(0, 4))
  return /^[0-9]{4}$/.test(digits) ? Number(digits) : null
}

/** Size of the frame that begins with `bytes`, or a fault. */
function sizeOf(
  name: string, layout: Layout, inclusive: boolean, bytes: Uint8Array,
): number | string {
  if (layout.number === 'header') {
    const header = bytes[0]
    if (header !== 46 && header !== 41) return 'envelope_invalid'
    const digits = textOf(bytes.subarray(2, 6))
    if (!/^[0-9]+ *$/.test(digits)) return 'length_not_decimal'
    return Number(digits) < header ? 'length_out_of_range' : Number(digits)
  }
  const number = numberOf(name, layout, bytes)
  if (number === null) return 'length_not_decimal'
  const rest = inclusive ? number - layout.prefix : number
  if (rest !== 0 && rest < ENVELOPE_LEAST[layout.envelope]) return 'length_out_of_range'
  return layout.prefix + rest
}

/** Bytes of the envelope at the start of `rest`, -1 when it does not fit. */
function envelopeOf(kind: Layout['envelope'], rest: Uint8Array): number {
  if (kind !== 'cups') return rest.length < ENVELOPE_LEAST[kind] ? -1 : ENVELOPE_LEAST[kind]
  const outer = rest[0] === 41 ? 41 : 46
  if (rest.length < outer) return -1
  const rejected = rest[0] === 46 && textOf(rest.subarray(41, 46)) !== '00000'
  const inner = rest[outer]
  if (!rejected || (inner !== 46 && inner !== 41)) return outer
  return rest.length >= outer + inner ? outer + inner : outer
}

function keepAliveOf(name: string, layout: Layout, bytes: Uint8Array): number {
  if (layout.number === 'header') return textOf(bytes.subarray(0, 4)) === '0000' ? 4 : 0
  if (bytes.length < layout.prefix) return 0
  return numberOf(name, layout, bytes) === 0 ? layout.prefix : 0
}

/** Cuts a whole stream. `most`: largest frame with its prefix. */
export function slowFrames(
  name: string, inclusive: boolean, most: number, stream: Uint8Array,
): SlowFrames {
  const layout = LAYOUTS[name]
  if (layout === undefined) throw new Error(`no such stream framing ${name}`)
  const events: string[] = []
  const starts: number[] = []
  let at = 0
  const ended = (fault: string): SlowFrames =>
    ({ events, fault, waiting: stream.length - at, starts })
  for (;;) {
    starts.push(at)
    const bytes = stream.subarray(at)
    const idle = keepAliveOf(name, layout, bytes)
    if (idle > 0) {
      events.push('idle')
      at += idle
      continue
    }
    if (bytes.length < layout.prefix) return ended('')
    const size = sizeOf(name, layout, inclusive, bytes)
    if (typeof size === 'string') return ended(size)
    if (size > most) return ended('length_out_of_range')
    if (bytes.length < size) return ended('')
    const frame = bytes.subarray(layout.number === 'header' ? 0 : layout.prefix, size)
    // Nothing behind the prefix, or VisaNet's session control, keeps the line open.
    const sessionControl = name === 'visa' && hexOf(bytes).charAt(6) === '2'
    if (frame.length === 0 || sessionControl) events.push('idle')
    else {
      const envelope = envelopeOf(layout.envelope, frame)
      if (envelope < 0) return ended('envelope_invalid')
      events.push(`${hexOf(frame.subarray(0, envelope))}|${hexOf(frame.subarray(envelope))}`)
    }
    at += size
  }
}

/** Bytes of a CUPS header that says `total`. */
export function slowCupsHeader(total: number, reject = '00000', size = 46): Buffer {
  const digits = String(total).padStart(4, '0')
  const text = `${digits}00010000   03050001   000${'\x01'}00000000${'\x00'}${reject}`
  return Buffer.concat([Buffer.from([size, 2]), Buffer.from(text, 'latin1')]).subarray(0, size)
}

/** A frame around `message`; `reject` puts a reject header before a CUPS message's own. */
export function slowFrame(
  name: string, inclusive: boolean, message: Uint8Array, reject = false,
): Buffer {
  const layout = LAYOUTS[name]
  if (layout === undefined) throw new Error(`no such stream framing ${name}`)
  let envelope: Buffer = Buffer.alloc(0)
  if (layout.envelope === 'tpdu') envelope = Buffer.from('6000030000', 'hex')
  if (layout.envelope === 'tpdu+app') envelope = Buffer.from('6000030000603100310730', 'hex')
  if (layout.envelope === 'cups') {
    envelope = slowCupsHeader(46 + message.length)
    if (reject) envelope = Buffer.concat([slowCupsHeader(92 + message.length, '00035'), envelope])
  }
  const rest = Buffer.concat([envelope, message])
  if (layout.number === 'header') return rest
  const number = rest.length + (inclusive ? layout.prefix : 0)
  const digits = String(number).padStart(4, '0').slice(-4)
  const hex = number.toString(16).padStart(layout.prefix * 2, '0')
  const prefix = layout.number === 'ascii' ? Buffer.from(digits, 'latin1')
    : layout.number === 'bcd' ? Buffer.from(digits, 'hex')
    : name === 'visa' ? Buffer.from(`${hex.slice(4)}0000`, 'hex') : Buffer.from(hex, 'hex')
  return Buffer.concat([prefix, rest])
}
