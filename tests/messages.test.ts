/**
 * Real messages of tests/vectors/messages.jsonl (each line names its public source): every one
 * decodes to exactly the values beside it and encodes to the same bytes, however the stream is cut,
 * and every truncation is a fault.
 */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { dialectNames, loadDialectSpec } from '../config/dialects.ts'
import { MessageCodec } from '../console/message/codec.ts'
import type { MessageRecord } from '../console/message/record.ts'
import { Fault } from '../switch/codec/fault.ts'
import { View } from '../switch/codec/view.ts'
import { walk } from '../switch/codec/walk.ts'
import { MessageWriter, splice } from '../switch/codec/writer.ts'
import { framingFor } from '../switch/framing/framings.ts'

interface Sample {
  readonly id: string
  readonly title: string
  readonly dialect: string
  readonly framing: string
  readonly hex: string
  readonly mti: string
  readonly fields: Readonly<Record<string, string | { readonly hex: string }>>
  readonly source: string
}

const samples = readFileSync(new URL('./vectors/messages.jsonl', import.meta.url), 'utf8')
  .trim().split('\n').map((line) => JSON.parse(line) as Sample)

const codecs = new Map<string, MessageCodec>()

function codecFor(sample: Sample): MessageCodec {
  const name = `${sample.dialect} ${sample.framing}`
  const codec =
    codecs.get(name) ?? new MessageCodec(loadDialectSpec(sample.dialect), sample.framing)
  codecs.set(name, codec)
  return codec
}

function wanted(sample: Sample): Record<string, string> {
  return Object.fromEntries(Object.entries(sample.fields)
    .map(([field, value]) => [field, typeof value === 'string' ? value : `hex:${value.hex}`]))
}

t.test('the nine dialects of the contract are there', (t) => {
  t.same(dialectNames(), [
    'amex', 'cups', 'cups-pos', 'iso87-ascii', 'iso87-binary', 'iso93-ascii', 'iso93-binary', 'mastercard', 'visa',
  ])
  t.end()
})

t.ok(samples.length >= 10, 'the vectors were copied into the repository')

for (const sample of samples) {
  t.test(`${sample.id} ${sample.title} (${sample.source})`, (t) => {
    const codec = codecFor(sample)
    const bytes = Buffer.from(sample.hex, 'hex')
    const record = codec.decode(bytes, true) as MessageRecord
    t.equal(record.mti, sample.mti)
    t.same(record.fields, wanted(sample), 'decodes to its values')
    t.same(codec.encode(JSON.parse(JSON.stringify(record))), bytes, 'encodes to its bytes')
    t.end()
  })

  t.test(`${sample.id} shows no card number, track or PIN block unless asked`, (t) => {
    const sensitive = ['2', '35', '36', '45', '52'].flatMap((field) => wanted(sample)[field] ?? [])
    const shown = JSON.stringify(codecFor(sample).decode(Buffer.from(sample.hex, 'hex'), false))
    for (const value of sensitive) t.notOk(shown.includes(value))
    t.end()
  })

  t.test(`${sample.id} is the same frame however TCP cuts it`, (t) => {
    const framing = framingFor(sample.framing)
    const bytes = Buffer.from(sample.hex, 'hex')
    if (framing.prefixBytes === 0) {
      t.pass('no length prefix: the record is the frame')
      t.end()
      return
    }
    for (let cut = 0; cut <= bytes.length; cut++) {
      const framer = framing.createFramer(4096)
      const frames: Buffer[] = []
      for (const piece of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
        const fault = framer.push(piece, (frame, start, _message, end) => {
          frames.push(Buffer.from(frame.subarray(start, end)))
        }, () => t.fail('no keep-alive was sent'))
        if (fault !== 0) t.fail(fault)
      }
      if (frames.length !== 1 || !frames[0]!.equals(bytes.subarray(framing.prefixBytes))) {
        t.fail(`cut at ${cut}`)
      }
    }
    t.end()
  })

  t.test(`${sample.id} cut short anywhere is a fault inside the frame`, (t) => {
    const dialect = codecFor(sample).dialect
    const { bytes, start } = messageOf(sample)
    const view = new View(dialect)
    const fault = new Fault()
    for (let end = start; end < bytes.length; end++) {
      if (walk(dialect, bytes, start, end, view, fault)) {
        t.fail(`${end} bytes were taken for the message`)
      }
      if (fault.offset < start || fault.offset > end) {
        t.fail(`fault offset ${fault.offset} for ${end} bytes`)
      }
    }
    t.notOk(walk(dialect, Buffer.concat([bytes, Buffer.from([0])]), start, bytes.length + 1, view,
      fault))
    t.equal(fault.kind, 'trailing_bytes')
    t.end()
  })

  t.test(`${sample.id} is forwarded with two fields changed and every other byte as it came`, (t) => {
    const dialect = codecFor(sample).dialect
    const { bytes, start } = messageOf(sample)
    const view = new View(dialect)
    t.ok(walk(dialect, bytes, start, bytes.length, view, new Fault()))
    const writer = new MessageWriter(dialect, 4096)
    const same = splice(writer, view, [])
    t.same(same?.frame, bytes.subarray(start), 'unchanged')
    const trace = dialect.mtiCoding === 'bcd' ? '000001' : '999999'
    const changed = splice(writer, view, [[11, trace], [39, '00'], [37, null]])
    const other = new View(dialect)
    t.ok(changed !== null && walk(dialect, changed.frame, 0, changed.end, other, new Fault()))
    t.equal(other.text(11), trace)
    t.equal(other.text(39), '00')
    t.equal(other.has(37), false)
    for (const field of view.fields()) {
      if (field !== 11 && field !== 37 && field !== 39) {
        t.same(Buffer.from(other.raw(field)), Buffer.from(view.raw(field)))
      }
    }
    t.end()
  })
}

/** The sample's bytes, and where the message begins in them. */
function messageOf(sample: Sample): { bytes: Buffer; start: number } {
  const bytes = Buffer.from(sample.hex, 'hex')
  let start = 0
  framingFor(sample.framing).createFramer(4096).push(bytes, (_bytes, _envelope, message) =>
    { start = message }, () => undefined)
  return { bytes, start }
}
