/**
 * Fuzz targets of the codec, one for each dialect: walk() never throws, refuses with a known kind
 * of fault inside the frame, agrees with the slow decoder about every input and every field, and
 * what it takes is written again byte for byte, from text and by forwarding.
 *
 * Run by tests/fuzz/. An input is one message without framing.
 */
import { readFileSync } from 'node:fs'
import { ALL_DIALECTS } from '../../tests/fuzz/dialects.ts'
import type { BothDialects } from '../../tests/fuzz/dialects.ts'
import { changedMessage, slowMessage } from '../../tests/fuzz/slow-builder.ts'
import { slowDecode } from '../../tests/fuzz/slow-decoder.ts'
import type { SlowDialect } from '../../tests/fuzz/slow-decoder.ts'
import { expect, expectSame } from '../../tests/fuzz/target.ts'
import type { Target } from '../../tests/fuzz/target.ts'
import { framingFor } from '../framing/framings.ts'
import type { Dialect } from './dialect.ts'
import { FAULT_KINDS, Fault } from './fault.ts'
import { bitmapVariant, fieldVariant } from './variant.ts'
import { View } from './view.ts'
import { walk, walkUntilFault } from './walk.ts'
import { MessageWriter, splice } from './writer.ts'

const COVERS = [
  'walk', 'arrangement', 'view', 'text', 'writer', 'encode', 'variant', 'headers/visa',
].map((name) => `switch/codec/${name}.ts`)
const BYTES_MAX = 2500
const GENERATED_SEEDS = 60

interface Sample {
  readonly dialect: string
  readonly framing: string
  readonly hex: string
}

const samples = readFileSync(new URL('../../tests/vectors/messages.jsonl', import.meta.url), 'utf8')
  .trim().split('\n').map((line) => JSON.parse(line) as Sample)

/** The messages of the samples of a dialect, without framing and envelope. */
function messagesOf(dialect: string): Buffer[] {
  const found: Buffer[] = []
  for (const sample of samples.filter((one) => one.dialect === dialect)) {
    framingFor(sample.framing).createFramer(4096).push(Buffer.from(sample.hex, 'hex'),
      (bytes, _envelope, start, end) => { found.push(Buffer.from(bytes.subarray(start, end))) },
      () => undefined)
  }
  return found
}

/**
 * A frame with other bytes before and after the message, so that offsets that forget `start` show.
 */
const MARGIN = 3

class Codec {
  readonly slow: SlowDialect
  readonly #dialect: Dialect
  #view: View
  /** The last message that was taken, and what it showed: a View must go on showing it. */
  #before: View
  #shownBefore: string
  readonly #other: View
  readonly #fault: Fault
  readonly #writer: MessageWriter

  constructor({ dialect, slow }: BothDialects) {
    this.slow = slow
    this.#dialect = dialect
    this.#view = new View(this.#dialect)
    this.#before = new View(this.#dialect)
    this.#shownBefore = ''
    this.#other = new View(this.#dialect)
    this.#fault = new Fault()
    this.#writer = new MessageWriter(this.#dialect, 20_000)
  }

  run(input: Uint8Array): string {
    const frame = Buffer.alloc(input.length + 2 * MARGIN, 0x30)
    frame.set(input, MARGIN)
    const end = MARGIN + input.length
    const taken = walk(this.#dialect, frame, MARGIN, end, this.#view, this.#fault)
    const slow = slowDecode(this.slow, input)
    if ('kinds' in slow) {
      expect(!taken, `walk takes what the slow decoder refuses as ${slow.kinds.join()}`)
      return this.#refused(frame, end, slow.kinds, slow.field)
    }
    const why = taken ? '' : `${this.#fault.kind} field ${this.#fault.field}`
    expectSame(why, '', 'walk refuses what the slow decoder takes')
    this.#fieldsAgree(slow.mti, slow.fields)
    this.#readAgain(frame, end)
    this.#writtenAgain(frame, end)
    expectSame(this.#shownBy(this.#before), this.#shownBefore, 'a View that was filled earlier')
    const { bitmapCount, bodyStart } = this.#view
    const last = [...slow.fields.keys()].at(-1) ?? 0
    const filled = this.#view
    this.#view = this.#before
    this.#before = filled
    this.#shownBefore = this.#shownBy(filled)
    return `taken ${bitmapCount} ${bodyStart - MARGIN} ${Math.min(slow.fields.size, 3)} ${last}`
  }

  #refused(frame: Buffer, end: number, kinds: readonly string[], field: number): string {
    const { kind, offset } = this.#fault
    expect(FAULT_KINDS.includes(kind), 'the kind of a fault is one of the list')
    expect(kinds.includes(kind), `walk says ${kind}, the slow decoder ${kinds.join()}`)
    expectSame(String(this.#fault.field), String(field), `field of ${kind}`)
    expect(offset >= MARGIN && offset <= end, `offset of ${kind} lies in the frame`)
    expect(![...this.#view.fields()].length, 'a refused message shows no field')
    for (let times = 0; times < 2; times++) {
      walk(this.#dialect, frame, MARGIN, end, this.#other, this.#fault)
      expectSame(this.#fault.kind, kind, 'kind of fault a second time')
      expectSame(String(this.#fault.offset), String(offset), 'offset of a fault a second time')
    }
    const before = this.#other
    walkUntilFault(this.#dialect, frame, MARGIN, end, before, this.#fault)
    const seen = this.#textsOf(before)
    expect(kind === 'trailing_bytes' || seen.every(([number]) => field !== 0 && number < field),
      'before a fault only fields that were read are shown')
    return `${kind} ${field}`
  }

  #shownBy(view: View): string {
    return [...view.fields()].map((field) => `${field}=${view.text(field)}`).join('\n')
  }

  /** What is kept of a bitmap from one message to the next must not show. */
  #readAgain(frame: Buffer, end: number): void {
    const wanted = this.#shownBy(this.#view)
    for (let times = 0; times < 2; times++) {
      const taken = walk(this.#dialect, frame, MARGIN, end, this.#other, this.#fault)
      expect(taken, 'a message is taken a second time')
      expectSame(this.#shownBy(this.#other), wanted, 'a message read a second time')
    }
  }

  #textsOf(view: View): [number, string][] {
    return [...view.fields()].map((field) => [field, view.text(field)])
  }

  #fieldsAgree(mti: string, fields: ReadonlyMap<number, string>): void {
    const view = this.#view
    expectSame(view.mti, mti, 'MTI')
    expectSame([...view.fields()].join(), [...fields.keys()].join(), 'fields that are there')
    const all: string[] = []
    view.texts(all)
    for (const [field, text] of fields) {
      expectSame(view.text(field), text, `text of field ${field}`)
      expectSame(all[field] ?? '', text, `text of field ${field} among all`)
      this.#numberAgrees(field, text)
      view.bytes(field)
    }
  }

  /** Only decimal text of up to 15 digits is a number. */
  #numberAgrees(field: number, text: string): void {
    const number = this.#view.digitsToNumber(field)
    const kind = this.slow.rows.get(field)?.kind
    if (kind !== 'n') return
    const wanted = text.length > 0 && text.length <= 15 ? Number(text) : -1
    expectSame(String(number), String(wanted), `number in field ${field}`)
  }

  #writtenAgain(frame: Buffer, end: number): void {
    const view = this.#view
    const writer = this.#writer
    writer.begin(view.mti)
    const bitmap = bitmapVariant(view)
    if (bitmap !== null) writer.bitmaps(bitmap.count ?? 1, bitmap.hex === 'lower')
    // The last field first: the writer lays them in order.
    for (const field of [...view.fields()].reverse()) {
      const variant = fieldVariant(view, field) ?? undefined
      const set = writer.setText(field, view.text(field), variant)
      expect(set, `field ${field} can be set from its own text (${writer.fault.kind})`)
    }
    const body = frame.subarray(view.bodyStart, end).toString('hex')
    expectSame(writer.finish()?.frame.toString('hex') ?? '', body, 'encoded again')
    const forwarded = splice(writer, view, [])?.frame
    expect(forwarded !== undefined, 'an untouched message can be forwarded')
    // A header's total length is brought up to date, everything else stays.
    const header = view.bodyStart - MARGIN
    expectSame(forwarded.subarray(header).toString('hex'), body, 'forwarded')
    writer.beginFrom(view)
    for (const field of view.fields()) if (field % 2 === 1) writer.copy(view, field)
    const mixed = writer.finish()?.frame.subarray(header).toString('hex')
    expectSame(mixed ?? '', body, 'every other field copied into itself')
  }
}

function target(both: BothDialects): Target {
  const { name } = both
  const codec = new Codec(both)
  return {
    name: `codec-${name}`,
    covers: COVERS,
    bytesMax: BYTES_MAX,
    seeds: (random) => [
      ...messagesOf(name),
        ...Array.from({ length: GENERATED_SEEDS }, () => slowMessage(codec.slow, random)),
    ],
    mutate: (input, random) => changedMessage(codec.slow, input, random),
    run: (input) => codec.run(input),
  }
}

export const targets: readonly Target[] = ALL_DIALECTS.map(target)
