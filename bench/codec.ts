/**
 * How quickly messages are read, turned into text, built and forwarded, beside the npm library
 * iso_8583 and beside code written by hand for this one message, which is about what this engine
 * can do.
 *
 * One message: a 0200 with 22 fields, DE55 of 143 bytes, in an ASCII dialect (cups) and in a BCD
 * dialect (cups-pos). Times are CPU time, so that neighbours on the machine count less; use the
 * ratios. `node bench/codec.ts --json`.
 */
import { createRequire } from 'node:module'
import os from 'node:os'
import { loadDialectSpec } from '../config/dialects.ts'
import { compileDialect } from '../switch/codec/dialect.ts'
import type { Dialect } from '../switch/codec/dialect.ts'
import { Fault } from '../switch/codec/fault.ts'
import { View } from '../switch/codec/view.ts'
import { walk } from '../switch/codec/walk.ts'
import { MessageWriter, splice } from '../switch/codec/writer.ts'
import type { Change } from '../switch/codec/writer.ts'
import { handAscii, handBcd } from './codec-by-hand.ts'
import type { ByHand } from './codec-by-hand.ts'

const CHIP =
  '5F2A02015682027D00950500001800009A032405119C01019F02060000000100009F03060000000000009F0900' +
  '9F100807000103A02000019F1A0201569F1E0832303033313233309F26085576AF9865559F3E9F2701809F3303E098C0' +
  '9F34036003029F3501229F360200139F37040B7FBD488A0230308408A0000003330101029F4104000000019F53015291080102030405060708'

/** The message of facts on performance: 22 fields; synthetic card number. */
export const FIELDS: Readonly<Record<number, string>> = {
  2: '6224242000000021', 3: '000000', 4: '000000010000', 7: '0511234203', 11: '000012', 12: '234203', 13: '0511',
  18: '5411', 22: '051', 23: '000', 25: '00', 32: '92010000', 33: '92010000',
  35: '6224242000000021D29022015699031007', 37: '000000000012', 41: '12345678', 42: '123456789012345',
  43: 'SWITCHYARD TEST SHOP    SHANGHAI      CN', 49: '156', 52: 'EC2804D2AC42710A', 53: '2600000000000000',
  55: CHIP.slice(0, 286),
}
const NUMBERS = Object.keys(FIELDS).map(Number)
const CHANGES: readonly Change[] =
  [[11, '000013'], [37, '000000000013'], [32, '03050001'], [7, '0511234204']]

export interface BenchResult {
  readonly name: string
  readonly ratio: Record<string, number>
  readonly absolute: Record<string, number>
  readonly checks: Record<string, boolean>
  readonly machine: Record<string, string | number>
}

/** CPU microseconds of one call: the best of several rounds of `roundMs`. */
function microseconds(roundMs: number, work: () => number): number {
  let batch = 64
  let best = Infinity
  let sink = 0
  for (let round = 0; round < 6;) {
    const before = process.cpuUsage().user
    for (let i = 0; i < batch; i++) sink += work()
    const spent = process.cpuUsage().user - before
    if (spent < roundMs * 1000) {
      batch *= spent < roundMs * 250 ? 4 : 2
      continue
    }
    best = Math.min(best, spent / batch)
    round++
  }
  return sink === -1 ? 0 : best
}

/** Builds the message with the real writer; throws when the dialect cannot carry it. */
function build(writer: MessageWriter): Buffer {
  writer.begin('0200')
  for (let i = 0; i < NUMBERS.length; i++) writer.setText(NUMBERS[i]!, FIELDS[NUMBERS[i]!]!)
  const produced = writer.finish()
  if (produced === null) throw new Error(writer.fault.kind)
  return produced.frame
}

interface Figures {
  readonly absolute: Record<string, number>
  readonly checks: Record<string, boolean>
}

function measureDialect(dialect: Dialect, hand: ByHand, roundMs: number): Figures {
  const name = dialect.name
  const writer = new MessageWriter(dialect, 4096)
  const view = new View(dialect)
  const fault = new Fault()
  const frame = build(writer)
  const out: string[] = new Array<string>(129).fill('')
  const handOut: string[] = new Array<string>(129).fill('')
  const time = (work: () => number): number => microseconds(roundMs, work)
  const grown = heapBytesPerMillion(() => walk(dialect, frame, 0, frame.length, view, fault))
  const absolute = {
    [`${name}_positions_heap_bytes_per_million`]: grown,
    [`${name}_positions_us`]: time(() => {
      if (!walk(dialect, frame, 0, frame.length, view, fault)) return 0
      return view.digitsToNumber(4) + view.digitsToNumber(11) + view.digitsToNumber(3) +
        view.valueStart(2) + view.valueEnd(2) + view.valueStart(37) + view.valueStart(41) +
        view.valueStart(42) + view.valueStart(55) + view.valueStart(32)
    }),
    [`${name}_positions_by_hand_us`]: time(() => hand.positions(frame)),
    [`${name}_all_text_us`]: time(() => {
      walk(dialect, frame, 0, frame.length, view, fault)
      return view.textsInOrder().length
    }),
    [`${name}_all_text_by_hand_us`]: time(() => hand.texts(frame, handOut)),
    [`${name}_build_us`]: time(() => build(writer).length),
    [`${name}_forward_us`]: time(() => {
      walk(dialect, frame, 0, frame.length, view, fault)
      return splice(writer, view, CHANGES)?.end ?? 0
    }),
  }
  walk(dialect, frame, 0, frame.length, view, fault)
  for (const [i, text] of view.textsInOrder().entries()) out[view.fieldNumbers[i]!] = text
  hand.texts(frame, handOut)
  return {
    absolute,
    checks: {
      [`${name}_text_is_right`]: NUMBERS.every((field) => out[field] === FIELDS[field]),
      [`${name}_hand_text_is_right`]: NUMBERS.every((field) => handOut[field] === FIELDS[field]),
      [`${name}_positions_allocate_nothing_that_grows`]: Math.abs(grown) < HEAP_BYTES_MAX,
    },
  }
}

const HEAP_CALLS = 250_000
/** What measuring itself may leave behind, per million calls. */
const HEAP_BYTES_MAX = 512 * 1024

/**
 * Bytes by which the heap grows in a million calls: the median of several rounds, because now and
 * then the engine collects or compiles in one. Work that allocates 16 bytes a call shows 16 MB.
 */
function heapBytesPerMillion(work: () => boolean): number {
  const rounds: number[] = []
  for (let round = 0; round < 7; round++) {
    const before = process.memoryUsage().heapUsed
    for (let i = 0; i < HEAP_CALLS; i++) work()
    rounds.push((process.memoryUsage().heapUsed - before) * (1_000_000 / HEAP_CALLS))
  }
  return rounds.sort((left, right) => left - right)[3]!
}

interface Peer {
  getBufferMessage(): Buffer
  getIsoJSON(message: Buffer): Record<string, string>
}
type PeerClass =
  new (message?: Record<string | number, string>, formats?: Record<string, unknown>) => Peer

/** Its table takes DE53 for bytes; ISO 8583:1987 says n 16. */
const PEER_FORMATS =
  { 53: { ContentType: 'n', Label: 'Security control', LenType: 'fixed', MaxLen: 16 } }

/**
 * The same work by iso_8583: unpack to an object, pack from one, unpack, change four fields and
 * pack.
 */
function measurePeer(roundMs: number): Figures {
  const PeerMessage = createRequire(import.meta.url)('iso_8583') as PeerClass
  const record = { 0: '0200', ...FIELDS, 35: FIELDS[35]!.replace('D', '=') }
  // It counts DE55 in characters and takes it as text.
  const packed = new PeerMessage({ ...record }, PEER_FORMATS).getBufferMessage()
  const unpacked = new PeerMessage({}, PEER_FORMATS).getIsoJSON(packed)
  const checks = {
    iso_8583_packs_the_message: Buffer.isBuffer(packed) && packed.length > 300,
    iso_8583_unpacks_the_message: unpacked[55] === FIELDS[55],
  }
  const quiet = console.log
  const time = (work: () => number): number => microseconds(roundMs, work)
  console.log = (): void => undefined // it talks on standard output
  try {
    return {
      checks,
      absolute: {
        iso_8583_unpack_us: time(() =>
          Object.keys(new PeerMessage({}, PEER_FORMATS).getIsoJSON(packed)).length),
        iso_8583_pack_us: time(() =>
          new PeerMessage({ ...record }, PEER_FORMATS).getBufferMessage().length),
        iso_8583_forward_us: time(() => {
          const message = new PeerMessage({}, PEER_FORMATS).getIsoJSON(packed)
          for (let i = 0; i < CHANGES.length; i++) message[CHANGES[i]![0]] = String(CHANGES[i]![1])
          return new PeerMessage(message, PEER_FORMATS).getBufferMessage().length
        }),
      },
    }
  } finally {
    console.log = quiet
  }
}

/** Runs everything once. `seconds`: about how long the whole may take. */
export function run(seconds = 10): BenchResult {
  const roundMs = Math.max(10, (seconds * 1000) / (15 * 9))
  const ascii = measureDialect(compileDialect(loadDialectSpec('cups')), handAscii, roundMs)
  const bcd = measureDialect(compileDialect(loadDialectSpec('cups-pos')), handBcd, roundMs)
  const peer = measurePeer(roundMs)
  const absolute = { ...ascii.absolute, ...bcd.absolute, ...peer.absolute }
  const over = (above: string, below: string): number =>
    Math.round(((absolute[above] ?? 0) / (absolute[below] ?? 1)) * 100) / 100
  return {
    name: 'codec',
    // Targets: 15, 40 and 60 times; at most 2.5 and 2 times what code by hand takes.
    ratio: {
      all_text_times_faster_than_iso_8583: over('iso_8583_unpack_us', 'cups_all_text_us'),
      build_times_faster_than_iso_8583: over('iso_8583_pack_us', 'cups_build_us'),
      forward_times_faster_than_iso_8583: over('iso_8583_forward_us', 'cups_forward_us'),
      cups_positions_over_hand: over('cups_positions_us', 'cups_positions_by_hand_us'),
      cups_all_text_over_hand: over('cups_all_text_us', 'cups_all_text_by_hand_us'),
      pos_positions_over_hand: over('cups-pos_positions_us', 'cups-pos_positions_by_hand_us'),
      pos_all_text_over_hand: over('cups-pos_all_text_us', 'cups-pos_all_text_by_hand_us'),
    },
    absolute: Object.fromEntries(Object.entries(absolute).map(([key, value]) =>
      [key, Math.round(value * 1000) / 1000])),
    checks: { ...ascii.checks, ...bcd.checks, ...peer.checks },
    machine: { cpu: os.cpus()[0]?.model ?? '', cores: os.cpus().length, node: process.version },
  }
}

if (import.meta.main) {
  const at = process.argv.indexOf('--seconds')
  const result = run(at > 0 ? Number(process.argv[at + 1]) : 10)
  if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify(result)}\n`)
  else {
    for (const part of [result.ratio, result.absolute, result.checks]) {
      for (const [key, value] of Object.entries(part)) {
        process.stdout.write(`${key.padEnd(48)} ${String(value)}\n`)
      }
    }
  }
  process.exitCode = Object.values(result.checks).every(Boolean) ? 0 : 1
}
