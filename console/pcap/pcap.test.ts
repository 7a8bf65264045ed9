/**
 * Capture files: both formats, every link layer, streams cut, repeated, out of order, with holes
 * and with connections that reuse a port; the frames are those that were sent.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import t from 'tap'
import { systemRandom } from '../../switch/runtime/random.ts'
import { framingFor } from '../../switch/framing/framings.ts'
import {
  pcapFile, pcapngFile, segmentsOf, type CaptureForm, type Segment,
} from '../../tests/pcap-writer.ts'
import { captureFault, packetsOf } from './capture-file.ts'
import { framesOfCapture, type Captured } from './frames.ts'

const LAUNCHER = fileURLToPath(new URL('../../bin/switchyard.js', import.meta.url))
const OPTIONS = { framing: framingFor('2b'), frameBytesMax: 4096 }

/** Frames of distinct bytes with their two bytes of length. */
function frames(count: number): Buffer[] {
  return Array.from({ length: count }, (_, i) => {
    const body = Buffer.alloc(20 + i * 7, i + 1)
    return Buffer.concat([Buffer.from([body.length >> 8, body.length & 255]), body])
  })
}

function read(file: Uint8Array, port?: number): Captured[] {
  return [...framesOfCapture(file, port === undefined ? OPTIONS : { ...OPTIONS, port })]
}

/** What was found in short: hexadecimal of frames, names of faults. */
function told(found: readonly Captured[]): string[] {
  return found.map((one) => {
    return one.kind === 'frame' ? Buffer.from(one.bytes).toString('hex')
      : one.kind === 'fault' ? one.fault : 'keep-alive'
  })
}

const hex = (list: readonly Buffer[]): string[] => list.map((one) => one.toString('hex'))

const FORMS: readonly (CaptureForm & { name: string })[] = [
  { name: 'Ethernet and IPv4', link: 'ethernet' },
  { name: 'Ethernet and IPv6', link: 'ethernet', v6: true },
  { name: 'Ethernet with a VLAN tag', link: 'vlan' },
  { name: 'raw IP', link: 'raw' },
  { name: 'BSD loopback', link: 'loopback' },
  { name: 'Linux cooked', link: 'cooked' },
  { name: 'the other byte order', bigEndian: true },
]

for (const { name, ...form } of FORMS) {
  t.test(`frames come out of ${name}, as pcap and as pcapng`, async (t) => {
    const sent = frames(5)
    const segments = segmentsOf(Buffer.concat(sent), [40_000, 7102], 33)
    t.same(told(read(pcapFile(segments, form))), hex(sent))
    t.same(told(read(pcapngFile(segments, form))), hex(sent))
  })
}

t.test('the place names both ends and the time of the last segment', async (t) => {
  const [one] = read(pcapFile(segmentsOf(frames(1)[0]!, [40_000, 7102], 10)))
  t.same(one?.place, { from: '127.0.0.1:40000', to: '127.0.0.1:7102', atUs: 1_700_000_000_002_000 })
  const [over6] = read(pcapFile(segmentsOf(frames(1)[0]!, [40_000, 7102], 10), { v6: true }))
  t.match(over6?.place.to, /^\[.*1\]:7102$/)
})

t.test('however segments are cut, shuffled and repeated, the frames are those that were sent', async (t) => {
  const seed = systemRandom.below(1_000_000)
  t.comment(`seed ${seed}`)
  const sent = frames(12)
  const stream = Buffer.concat(sent)
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 200 }), fc.integer({ min: 0, max: 0xffffffff }),
      fc.array(fc.nat(), { maxLength: 30 }), fc.integer({ min: 1, max: 200 }),
      (size, first, swaps, other) => {
        const segments = segmentsOf(stream, [40_000, 7102], size, first)
        const again = segmentsOf(stream, [40_000, 7102], other, first)
        const syn: Segment = {
          fromPort: 40_000, toPort: 7102, sequence: (first - 1) >>> 0, payload: Buffer.alloc(0),
          flags: 'syn',
        }
        const all = [...segments, ...again]
        for (const [i, swap] of swaps.entries()) {
          const [a, b] = [i % all.length, swap % all.length]
          const held = all[a]!
          all[a] = all[b]!
          all[b] = held
        }
        const found = told(read(pcapFile([syn, ...all])))
        return JSON.stringify(found) === JSON.stringify(hex(sent))
      },
    ),
    { seed, numRuns: 300, interruptAfterTimeLimit: 3000 },
  )
})

t.test('a segment that the capture lost costs its frame and tells of a hole', async (t) => {
  const sent = frames(6)
  const segments = sent.flatMap((frame, i) => {
    const before = sent.slice(0, i).reduce((sum, one) => sum + one.length, 1000)
    return segmentsOf(frame, [40_000, 7102], 4096, before)
  })
  const found = told(read(pcapFile(segments.filter((_, i) => i !== 2))))
  t.same(found, [...hex(sent.slice(0, 2)), 'capture_has_a_hole', ...hex(sent.slice(3))])
})

t.test('a port that is used again begins a stream of its own', async (t) => {
  const [first, second] = frames(2)
  const ends = { fromPort: 40_000, toPort: 7102, payload: Buffer.alloc(0) }
  const found = read(pcapFile([
    ...segmentsOf(first!.subarray(0, 9), [40_000, 7102], 100, 5000),
    { ...ends, sequence: 5009, flags: 'rst' },
    { ...ends, sequence: 99, flags: 'syn' },
    ...segmentsOf(second!, [40_000, 7102], 100, 100),
  ]))
  t.same(told(found), ['frame_incomplete', ...hex([second!])])
})

t.test('a stream that cannot be cut disturbs no other, and a port picks connections', async (t) => {
  const [one] = frames(1)
  const file = pcapFile([
    ...segmentsOf(Buffer.from('FFFF00', 'hex'), [40_001, 7102], 100),
    ...segmentsOf(one!, [40_002, 7103], 100),
    ...segmentsOf(Buffer.from([0, 0]), [7103, 40_002], 100),
  ])
  t.same(told(read(file)), ['length_out_of_range', ...hex([one!]), 'keep-alive'])
  t.same(told(read(file, 7103)), [...hex([one!]), 'keep-alive'])
  t.same(told(read(file, 9)), [])
})

t.test('a file that breaks off or is damaged gives what can be read, and never an error', async (t) => {
  const file = pcapngFile(segmentsOf(Buffer.concat(frames(4)), [40_000, 7102], 25))
  const old = pcapFile(segmentsOf(Buffer.concat(frames(4)), [40_000, 7102], 25))
  for (const whole of [file, old]) {
    for (let length = 0; length <= whole.length; length += 3) read(whole.subarray(0, length))
    for (let at = 0; at < whole.length; at++) {
      const damaged = Buffer.from(whole)
      damaged[at] = 0xff - damaged[at]!
      read(damaged)
    }
  }
  t.equal(captureFault(Buffer.from('no capture')), 'not_a_capture')
  t.equal(captureFault(Buffer.alloc(0)), 'not_a_capture')
  t.same([...packetsOf(Buffer.from('no capture'))], [])
})

t.test('message decode --pcap prints the messages of a capture, masked', async (t) => {
  const messages = new URL('../../tests/vectors/messages.jsonl', import.meta.url)
  const vectors = readFileSync(messages, 'utf8')
  const samples = vectors.trim().split('\n')
    .map((line) => JSON.parse(line) as { dialect: string; hex: string; mti: string })
    .filter((one) => one.dialect === 'visa')
  const file = path.join(t.testdir({}), 'visa.pcapng')
  const stream = Buffer.concat(samples.map((one) => Buffer.from(one.hex, 'hex')))
  writeFileSync(file, pcapngFile(segmentsOf(stream, [40_000, 7102], 50)))
  const run = (...words: string[]) =>
    spawnSync(process.execPath, [LAUNCHER, 'message', 'decode', ...words], { encoding: 'utf8' })
  const ran = run('--dialect', 'visa', '--framing', 'visa', '--pcap', file)
  const lines = ran.stdout.trim().split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  t.same(lines.map((line) => line['mti']), samples.map((one) => one.mti), ran.stderr)
  t.match(lines[0]?.['capture'], { from: '127.0.0.1:40000', to: '127.0.0.1:7102' })
  t.notMatch(ran.stdout, '4123709999000029')
  t.equal(ran.status, 0)
  const bare = run('--dialect', 'visa', '--pcap', file)
  t.equal(bare.status, 2, 'without framing it cannot be cut')
  t.match(bare.stderr, /usually run over visa/)
  t.equal(run('--dialect', 'visa', '--framing', 'visa', '--pcap', LAUNCHER).status, 1)
})
