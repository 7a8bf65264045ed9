/**
 * The codec against the slow decoder of tests/: random messages and mutated bytes must give the
 * same result in both, and what was decoded must encode to the same bytes. Random, time-boxed;
 * fast-check prints the seed of a failure.
 */
import t from 'tap'
import fc from 'fast-check'
import { loadDialectSpec } from '../../config/dialects.ts'
import {
  ISO87_FIELDS, VISA_FIELDS, slowBuildAscii, slowBuildVisa, slowDecodeAscii, slowDecodeVisa,
} from '../../tests/slow-decoder.ts'
import type { SlowField, SlowMessage } from '../../tests/slow-decoder.ts'
import { compileDialect } from './dialect.ts'
import type { Dialect } from './dialect.ts'
import { Fault } from './fault.ts'
import { bitmapVariant, fieldVariant } from './variant.ts'
import { View } from './view.ts'
import { walk } from './walk.ts'
import { MessageWriter } from './writer.ts'

const TIME_MS = 2500

const digits = (min: number, max: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: min, maxLength: max })
const hex = (min: number, max: number): fc.Arbitrary<string> =>
  fc.uint8Array({ minLength: min, maxLength: max }).map((bytes) =>
    Buffer.from(bytes).toString('hex').toUpperCase())
const plain = (min: number, max: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...' AZaz09.,-/=$@[]{}\\^|~!'), minLength: min,
    maxLength: max })

/** Values of a field, up to 40 units where it is variable. */
function valueOf(field: SlowField): fc.Arbitrary<string> {
  const max = field.prefix === '' ? field.max : Math.min(field.max, 40)
  const min = field.prefix === '' ? field.max : 0
  if (field.kind === 'n' || field.kind === 'z') return digits(min, max)
  if (field.kind === 'x') {
    return fc.tuple(fc.constantFrom('C', 'D'), digits(max - 1, max - 1)).map((two) => two.join(''))
  }
  if (field.kind === 'b') return hex(min, max)
  return plain(min, max)
}

/**
 * MTIs of the 1987 standard: without a header, VisaNet messages of other versions could be taken
 * for headers.
 */
const mtis = digits(3, 3).map((rest) => `0${rest}`)

function messages(fields: ReadonlyMap<number, SlowField>): fc.Arbitrary<SlowMessage> {
  const field = fc.constantFrom(...fields.values())
  const entry =
    field.chain((one) => valueOf(one).map((value): [string, string] => [String(one.number), value]))
  return fc.tuple(mtis, fc.array(entry, { maxLength: 30 }))
    .map(([mti, entries]) => ({ mti, fields: Object.fromEntries(entries) }))
}

const mutations =
  fc.array(fc.tuple(fc.nat(600), fc.nat(255), fc.constantFrom('set', 'drop', 'add')),
    { maxLength: 3 })

function mutate(bytes: Buffer, changes: readonly (readonly [number, number, string])[]): Buffer {
  const out = [...bytes]
  for (const [at, value, how] of changes) {
    const index = at % (out.length + 1)
    if (how === 'set' && index < out.length) out[index] = value
    else if (how === 'drop') out.splice(index, 1)
    else out.splice(index, 0, value)
  }
  return Buffer.from(out)
}

function fastDecode(
  dialect: Dialect, bytes: Uint8Array,
): { view: View; message: SlowMessage } | null {
  const view = new View(dialect)
  if (!walk(dialect, bytes, 0, bytes.length, view, new Fault())) return null
  const fields: Record<string, string> = {}
  for (const field of view.fields()) fields[field] = view.text(field)
  return { view, message: { mti: view.mti, fields } }
}

/** The bytes that the text and the variants of a view encode to. */
function encodeAgain(dialect: Dialect, view: View): Buffer | null {
  const writer = new MessageWriter(dialect, 60_000)
  writer.begin(view.mti)
  const bitmap = bitmapVariant(view)
  if (bitmap !== null) writer.bitmaps(bitmap.count ?? 1, bitmap.hex === 'lower')
  for (const field of view.fields()) {
    writer.setText(field, view.text(field), fieldVariant(view, field) ?? undefined)
  }
  return writer.finish()?.frame ?? null
}

const pairs = [
  { name: 'iso87-ascii', fields: ISO87_FIELDS, build: slowBuildAscii, decode: slowDecodeAscii },
  { name: 'visa', fields: VISA_FIELDS, build: slowBuildVisa, decode: slowDecodeVisa },
]

for (const { name, fields, build, decode } of pairs) {
  const dialect = compileDialect(loadDialectSpec(name))

  t.test(`${name}: a message of the slow builder has the same fields in both decoders and the same bytes again`, (t) => {
    fc.assert(fc.property(messages(fields), (message) => {
      const bytes = build(message)
      const fast = fastDecode(dialect, bytes)
      if (fast === null) throw new Error('refused')
      if (JSON.stringify(fast.message) !== JSON.stringify(decode(bytes))) {
        throw new Error('decoders differ')
      }
      if (JSON.stringify(fast.message.fields) !== JSON.stringify(message.fields)) {
        throw new Error('fields differ')
      }
      const again = encodeAgain(dialect, fast.view)
      if (again === null || !again.equals(bytes)) throw new Error('bytes differ')
    }), { numRuns: 1500, interruptAfterTimeLimit: TIME_MS })
    t.end()
  })

  t.test(`${name}: mutated bytes are taken or refused by both decoders alike`, (t) => {
    let taken = 0
    fc.assert(fc.property(messages(fields), mutations, (message, changes) => {
      const bytes = mutate(build(message), changes)
      if (dialect.header !== null && bytes.length > 0 && bytes[0]! > 0x0f) {
        return // reads as a header, not an MTI
      }
      // Only the real decoder knows headers, fields the slow table leaves out, and two readings of
      // Visa DE61.
      const slow = decode(bytes)
      const fast = fastDecode(dialect, bytes)
      if (slow === null && fast !== null && onlyKnownHere(fast.message, fields, fast.view)) return
      if (JSON.stringify(slow) !== JSON.stringify(fast?.message ?? null)) {
        throw new Error('decoders differ')
      }
      if (fast === null) return
      taken++
      const again = encodeAgain(dialect, fast.view)
      if (again === null || !again.equals(bytes)) throw new Error('bytes differ')
    }), { numRuns: 4000, interruptAfterTimeLimit: TIME_MS })
    t.ok(taken > 20, 'some mutated messages are still messages')
    t.end()
  })
}

function onlyKnownHere(
  message: SlowMessage, fields: ReadonlyMap<number, SlowField>, view: View,
): boolean {
  return view.bodyStart > 0 ||
    Object.keys(message.fields).some((number) => !fields.has(Number(number)))
}
