/**
 * In every dialect: text that was written is read back, and bytes that were read, mutated ones
 * included, are written again byte for byte from text and variants. Random, time-boxed; fast-check
 * prints the seed of a failure.
 */
import t from 'tap'
import fc from 'fast-check'
import { dialectNames, loadDialectSpec } from '../../config/dialects.ts'
import { CHECK, compileDialect } from './dialect.ts'
import type { Dialect } from './dialect.ts'
import { Fault } from './fault.ts'
import { bitmapVariant, fieldVariant } from './variant.ts'
import { View } from './view.ts'
import { walk } from './walk.ts'
import { MessageWriter } from './writer.ts'

const TIME_MS = 400

function textOf(unit: string, min: number, max: number): fc.Arbitrary<string> {
  return fc.string({ unit: fc.constantFrom(...unit), minLength: min, maxLength: max })
}

/** Text that a field can carry exactly, up to 40 units where it is variable. */
function valueOf(dialect: Dialect, field: number): fc.Arbitrary<string> {
  const fixed = dialect.prefix[field] === 0
  const max = fixed ? dialect.countMax[field]! : Math.min(dialect.countMax[field]!, 40)
  const min = fixed ? max : 0
  switch (dialect.check[field]!) {
    case CHECK.asciiDigits: case CHECK.ebcdicDigits: case CHECK.bcdDigits: {
      // Digits behind a prefix that counts bytes come in pairs.
      const even = dialect.prefixUnit[field] !== 0
      return textOf('0123456789', min, max).map((text) => (even ? text + text : text).slice(0, max))
    }
    case CHECK.bcdNibbles:
      return textOf('0123456789D', min, max)
    case CHECK.signAscii: case CHECK.signEbcdic: case CHECK.signBcd:
      return textOf('0123456789', max - 1, max - 1).map((text) => `D${text}`)
    case CHECK.ascii: case CHECK.ebcdic:
      return textOf(' AZaz09-/=$@', min, max)
    default:
      return textOf('0123456789ABCDEF', min * 2, max * 2).map((text) =>
        text.slice(0, text.length & ~1))
  }
}

function decode(dialect: Dialect, bytes: Uint8Array): View | null {
  const view = new View(dialect)
  return walk(dialect, bytes, 0, bytes.length, view, new Fault()) ? view : null
}

function encodeAgain(dialect: Dialect, view: View): Buffer | null {
  const writer = new MessageWriter(dialect, 60_000)
  const bitmap = bitmapVariant(view)
  writer.begin(view.mti)
  writer.header(view.header())
  if (bitmap !== null) writer.bitmaps(bitmap.count ?? 1, bitmap.hex === 'lower')
  for (const field of view.fields()) {
    writer.setText(field, view.text(field), fieldVariant(view, field) ?? undefined)
  }
  return writer.finish()?.frame ?? null
}

for (const name of dialectNames()) {
  const dialect = compileDialect(loadDialectSpec(name))
  const numbers = [...dialect.known.keys()].filter((field) => dialect.known[field] === 1)
  const entry = fc.constantFrom(...numbers)
    .chain((field) => valueOf(dialect, field).map((text): [number, string] => [field, text]))
  const messages = fc.array(entry, { maxLength: 20 }).map((entries) => new Map(entries))

  function write(message: ReadonlyMap<number, string>): Buffer {
    const writer = new MessageWriter(dialect, 60_000)
    writer.begin('0200')
    for (const [field, text] of message) {
      if (!writer.setText(field, text)) throw new Error(`${writer.fault.kind} ${field}`)
    }
    const produced = writer.finish()
    if (produced === null) throw new Error(writer.fault.kind)
    return produced.frame
  }

  t.test(`${name}: what was written is read back`, (t) => {
    fc.assert(fc.property(messages, (message) => {
      const view = decode(dialect, write(message))
      if (view === null) throw new Error('refused')
      const fields = [...view.fields()]
      if (fields.length !== message.size) throw new Error('fields')
      for (const field of fields) {
        if (view.text(field) !== message.get(field)) throw new Error(`text ${field}`)
      }
    }), { numRuns: 400, interruptAfterTimeLimit: TIME_MS })
    t.end()
  })

  t.test(`${name}: mutated bytes that are still a message are written again byte for byte`, (t) => {
    let taken = 0
    const changes = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 3 })
    fc.assert(fc.property(messages, changes, (message, list) => {
      const bytes = write(message)
      for (const [at, value] of list) bytes[at % bytes.length] = value
      const view = decode(dialect, bytes)
      if (view === null) return
      taken++
      // A stamped total length is the header's, not the fields'.
      const body = bytes.subarray(view.bodyStart)
      const again = encodeAgain(dialect, view)
      if (again === null || !again.subarray(view.bodyStart).equals(body)) {
        throw new Error('bytes differ')
      }
    }), { numRuns: 1200, interruptAfterTimeLimit: TIME_MS })
    t.ok(taken > 10, `${taken} were still messages`)
    t.end()
  })
}
