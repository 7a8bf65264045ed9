/**
 * Fuzz targets of the framings, one for each: however the stream is cut, the same frames,
 * keep-alives and fault come out, they are those of the slow reader, nothing is held beyond the
 * bound, and an envelope is written again from its parts.
 *
 * Run by tests/fuzz/. An input is two bytes of settings (length counts itself, bound, cuts), then
 * the stream; for framings without length the rest is one frame.
 */
import { replaced } from '../../tests/fuzz/mutate.ts'
import { Random } from '../../tests/fuzz/random.ts'
import { slowFrame, slowFrames } from '../../tests/fuzz/slow-framer.ts'
import { expect, expectSame } from '../../tests/fuzz/target.ts'
import type { Target } from '../../tests/fuzz/target.ts'
import { FRAMING_NAMES } from './framing.ts'
import type { Framing, FramingName } from './framing.ts'
import { framingFor } from './framings.ts'

const WITHOUT_LENGTH: readonly FramingName[] = ['none', 'tpdu', 'tpdu+app']
const BOUNDS = [64, 200, 4096, 100_000] as const
const SETTINGS_BYTES = 2

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

interface Settings {
  readonly framing: Framing
  readonly inclusive: boolean
  readonly most: number
  readonly cuts: number
  readonly stream: Uint8Array
}

function settingsOf(name: FramingName, input: Uint8Array): Settings {
  const first = input[0] ?? 0
  const inclusive = (first & 1) === 1 && name !== 'cups' && !WITHOUT_LENGTH.includes(name)
  return {
    framing: framingFor(name, { lengthIncludesItself: inclusive }),
    inclusive,
    most: BOUNDS[(first >> 1) & 3] ?? 64,
    cuts: input[1] ?? 0,
    stream: input.subarray(SETTINGS_BYTES),
  }
}

interface Seen {
  readonly events: string[]
  fault: string
  held: number
}

/** What a framer makes of pieces. */
function push(framing: Framing, most: number, pieces: readonly Uint8Array[]): Seen {
  const framer = framing.createFramer(most)
  const seen: Seen = { events: [], fault: '', held: 0 }
  for (const piece of pieces) {
    const fault = framer.push(piece, (bytes, envelope, message, end) => {
      expect(envelope <= message && message <= end && end <= bytes.length, 'positions are in order')
      const [before, after] = [bytes.subarray(envelope, message), bytes.subarray(message, end)]
      seen.events.push(`${hexOf(before)}|${hexOf(after)}`)
    }, () => { seen.events.push('idle') })
    expect(seen.fault === '' || fault === seen.fault, 'a fault stays for good')
    seen.fault = fault === 0 ? '' : fault
    expect(framer.buffered <= most, 'no more than the bound is held')
  }
  seen.held = framer.buffered
  return seen
}

function piecesOf(stream: Uint8Array, cuts: number): Uint8Array[] {
  const random = new Random(cuts + 1)
  const pieces: Uint8Array[] = []
  let at = 0
  while (at < stream.length) {
    const size = random.pick([1, 1, 2, 3, 5, 8, 40, 200])
    pieces.push(stream.subarray(at, at + size))
    at += size
  }
  return pieces
}

function runStream(name: FramingName, input: Uint8Array): string {
  const { framing, inclusive, most, cuts, stream } = settingsOf(name, input)
  const slow = slowFrames(name, inclusive, most, stream)
  const wanted = [...slow.events, slow.fault].join('\n')
  const one = push(framing, most, [stream])
  expectSame([...one.events, one.fault].join('\n'), wanted, 'frames of the stream in one piece')
  if (slow.fault === '') expectSame(String(one.held), String(slow.waiting), 'bytes that wait')
  const some = push(framing, most, piecesOf(stream, cuts))
  expectSame([...some.events, some.fault].join('\n'), wanted, 'frames of the stream in pieces')
  if (stream.length <= 150) {
    const bytes = push(framing, most, [...stream].map((byte) => Uint8Array.of(byte)))
    expectSame([...bytes.events, bytes.fault].join('\n'), wanted, 'frames byte by byte')
  }
  for (const event of slow.events) if (event !== 'idle') envelopeAgain(framing, event)
  const idle = slow.events.filter((event) => event === 'idle').length
  const counts = [Math.min(3, slow.events.length), Math.min(2, idle), Math.min(7, slow.waiting)]
  return `${inclusive} ${slow.fault} ${counts.join()}`
}

/** The parts of an envelope give it again, as far as its total length is the real one. */
function envelopeAgain(framing: Framing, event: string): void {
  const [envelope = '', message = ''] = event.split('|')
  const bytes = Buffer.from(envelope, 'hex')
  const body = Buffer.from(message, 'hex')
  const parts = framing.describeEnvelope(bytes, body.length)
  framing.rejected(bytes)
  const reply = framing.replyEnvelope(bytes)
  const twice = framing.replyEnvelope(framing.replyEnvelope(reply))
  expectSame(twice.toString('hex'), reply.toString('hex'), 'an envelope turned round twice')
  if (Object.keys(parts).some((name) => name.endsWith('length_as_sent'))) return
  const again = framing.parseEnvelope(parts)
  expect(again !== null, 'an envelope can be made from its own parts')
  const whole = framing.wrap(again, body).subarray(framing.prefixBytes).toString('hex')
  expectSame(whole, envelope + message, 'an envelope made from its own parts')
}

function runWhole(name: FramingName, input: Uint8Array): string {
  const { framing, most, stream } = settingsOf(name, input)
  const seen = push(framing, most, [stream])
  const least = framing.envelopeBytes
  const wanted = stream.length === 0 ? 'idle'
    : stream.length > most ? 'length_out_of_range'
    : stream.length < least ? 'envelope_invalid'
    : `${hexOf(stream.subarray(0, least))}|${hexOf(stream.subarray(least))}`
  expectSame([...seen.events, seen.fault].filter((one) => one !== '').join(), wanted, 'one frame')
  if (wanted.includes('|')) envelopeAgain(framing, wanted)
  return wanted.includes('|') ? 'frame' : wanted
}

const BODIES = [
  '', '02', '02002020000000000000', '0800'.repeat(20), '00'.repeat(46), '2e02303035360000',
]

function seedsOf(name: FramingName, random: Random): Uint8Array[] {
  const found: Uint8Array[] = []
  for (const first of [0, 1, 2, 4, 5, 6]) {
    const bodies = BODIES.map((hex) => Buffer.from(hex, 'hex'))
    if (WITHOUT_LENGTH.includes(name)) {
      found.push(...bodies.map((body) => Buffer.concat([Buffer.from([first, 0]), body])))
      continue
    }
    const inclusive = (first & 1) === 1 && name !== 'cups'
    const idle = framingFor(name).keepAlive ?? Buffer.alloc(0)
    const frames = bodies.map((body) => slowFrame(name, inclusive, body, random.oneIn(3)))
    found.push(...frames.map((frame) => Buffer.concat([Buffer.from([first, 7]), frame])))
    found.push(Buffer.concat([Buffer.from([first, 9]), ...frames, idle, ...frames]))
  }
  return found
}

/** Lengths one off, keep-alives between frames, frames twice, frames cut. */
function mutate(name: FramingName, input: Uint8Array, random: Random): Uint8Array | null {
  if (input.length <= SETTINGS_BYTES || WITHOUT_LENGTH.includes(name)) return null
  const { inclusive, most, stream } = settingsOf(name, input)
  const { starts } = slowFrames(name, inclusive, most, stream)
  const start = random.pick(starts) + SETTINGS_BYTES
  const out = Buffer.from(input)
  switch (random.below(6)) {
    case 0: {
      const idle = framingFor(name).keepAlive ?? Buffer.alloc(0)
      return replaced(out, start, start, idle)
    }
    case 1: {
      const at = start + random.below(6)
      if (at < out.length) out[at] = (out[at]! + random.pick([1, 255])) & 255
      return out
    }
    case 2: {
      const frame = slowFrame(name, inclusive, random.bytes(random.below(120)), random.oneIn(4))
      return replaced(out, start, start, frame)
    }
    case 3: {
      out[random.below(SETTINGS_BYTES)] = random.below(256)
      return out
    }
    case 4: // the reject code, or the first byte of an inner header, of a CUPS frame
      if (start + 50 < out.length) {
        out[start + random.pick([41, 45, 46, 50])] = random.pick([0x30, 0x31, 41, 46])
      }
      return out
    default:
      return out.subarray(0, start + random.below(60))
  }
}

export const targets: readonly Target[] = FRAMING_NAMES.map((name) => ({
  name: `framing-${name.replaceAll('+', '-')}`,
  covers: ['switch/framing/'],
  bytesMax: 1200,
  seeds: (random) => seedsOf(name, random),
  mutate: (input, random) => mutate(name, input, random),
  run: (input) => (WITHOUT_LENGTH.includes(name) ? runWhole(name, input) : runStream(name, input)),
}))
