/**
 * Facts about framings: what a frame is, what keeps a line open, what is refused, and that the way
 * TCP cuts the bytes changes nothing. Frames are written by hand or by the few lines of `frame`
 * below, never by the code under test.
 */
import t from 'tap'
import fc from 'fast-check'
import { cupsHeaderFault, cupsRejectHeader } from './cups.ts'
import { FRAMING_NAMES } from './framing.ts'
import type { FramingName } from './framing.ts'
import { framingFor } from './framings.ts'

const BODY = Buffer.from('02002020000000000000', 'hex')
const TPDU = '6000030000'
const APP = '603100310730'

/** A CUPS header around `bytes` of message, as the layout table says. */
function cupsHeader(total: number, reject = '00000', bytes = 46): Buffer {
  return Buffer.concat([
    Buffer.from([bytes, 2]),
      Buffer.from(String(total).padStart(4, '0') + '00010000   ' + '03050001   ', 'latin1'),
    Buffer.from('00000000', 'hex'), Buffer.from('00000000', 'latin1'), Buffer.from([0]),
    Buffer.from(bytes === 46 ? reject : '', 'latin1'),
  ])
}

/** The bytes of one frame of each framing, by hand. */
function frame(name: FramingName, message: Buffer): Buffer {
  const envelope = name.endsWith('tpdu') ? Buffer.from(TPDU, 'hex')
    : name.endsWith('app') ? Buffer.from(TPDU + APP, 'hex')
    : name.startsWith('cups') ? cupsHeader(46 + message.length) : Buffer.alloc(0)
  const rest = Buffer.concat([envelope, message])
  const two = Buffer.from([rest.length >> 8, rest.length & 255])
  const digits = String(rest.length).padStart(4, '0')
  switch (name) {
    case '4ascii': case 'cups4': return Buffer.concat([Buffer.from(digits, 'latin1'), rest])
    case '4b': return Buffer.concat([Buffer.from([0, 0]), two, rest])
    case 'visa': return Buffer.concat([two, Buffer.from([0, 0]), rest])
    case '2bcd': return Buffer.concat([Buffer.from(digits, 'hex'), rest])
    case '2b': case '2b+tpdu': case '2b+tpdu+app': return Buffer.concat([two, rest])
    default: return rest
  }
}

interface Cut {
  readonly events: string[]
  readonly fault: string
}

/**
 * What a framer makes of pieces: frames as hexadecimal of envelope and message, keep-alives as
 * `idle`.
 */
function cut(name: FramingName, pieces: readonly Buffer[], frameBytesMax = 4096): Cut {
  const framer = framingFor(name).createFramer(frameBytesMax)
  const events: string[] = []
  for (const piece of pieces) {
    const fault = framer.push(piece, (bytes, envelope, message, end) => {
      const hex = (from: number, to: number): string =>
        Buffer.from(bytes.subarray(from, to)).toString('hex')
      events.push(`${hex(envelope, message)}|${hex(message, end)}`)
    }, () => { events.push('idle') })
    if (fault !== 0) return { events, fault }
  }
  return { events, fault: '' }
}

const streams = FRAMING_NAMES.filter((name) => !['none', 'tpdu', 'tpdu+app'].includes(name))

for (const name of FRAMING_NAMES) {
  t.test(`${name}: a frame written by hand is cut, and wrap() writes the same bytes`, (t) => {
    const framing = framingFor(name)
    const bytes = frame(name, BODY)
    const { events, fault } = cut(name, [bytes])
    t.equal(fault, '')
    t.equal(events.length, 1)
    const [envelope = '', message] = events[0]!.split('|')
    t.equal(message, BODY.toString('hex'))
    t.equal(envelope.length / 2, framing.envelopeBytes)
    t.same(framing.wrap(Buffer.from(envelope, 'hex'), BODY), bytes)
    const parsed =
      framing.parseEnvelope(framing.describeEnvelope(Buffer.from(envelope, 'hex'), BODY.length))
    t.same(parsed === null ? null : framing.wrap(parsed, BODY), bytes, 'its parts give it again')
    t.end()
  })
}

for (const name of streams) {
  t.test(`${name}: three frames and a keep-alive are the same in one piece, byte by byte, and in any pieces`, (t) => {
    const idle = framingFor(name).keepAlive ?? Buffer.alloc(0)
    const bytes =
      Buffer.concat([frame(name, BODY), idle, frame(name, Buffer.from('0800', 'hex')),
        frame(name, BODY), idle])
    const whole = cut(name, [bytes])
    t.equal(whole.events.length, 5)
    t.equal(whole.events.filter((one) => one === 'idle').length, 2)
    t.same(cut(name, [...bytes].map((byte) => Buffer.from([byte]))), whole)
    const places = fc.array(fc.nat(bytes.length), { maxLength: 6 })
    fc.assert(fc.property(places, (cuts) => {
      const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length]
      const pieces = edges.slice(1).map((edge, i) => bytes.subarray(edges[i], edge))
      return JSON.stringify(cut(name, pieces)) === JSON.stringify(whole)
    }), { interruptAfterTimeLimit: 1000 })
    t.end()
  })

  t.test(`${name}: a length beyond the bound is refused when its prefix is there, before anything is kept`, (t) => {
    const bytes = frame(name, Buffer.alloc(300))
    const prefix = framingFor(name).prefixBytes || 6
    const framer = framingFor(name).createFramer(200)
    t.equal(framer.push(bytes.subarray(0, prefix), () => t.fail('no frame'), () => t.fail('no idle')), 'length_out_of_range')
    t.equal(framer.buffered, 0)
    t.equal(framer.push(bytes, () => t.fail('no frame'), () => t.fail('no idle')), 'length_out_of_range', 'for good')
    t.end()
  })

  t.test(`${name}: random bytes end in frames, a fault or waiting, within the bound`, (t) => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), (pieces) =>
      {
      const framer = framingFor(name).createFramer(128)
      for (const piece of pieces) {
        framer.push(piece, (_bytes, envelope, message, end) => {
          if (message < envelope || end < message) throw new Error('frame out of order')
        }, () => undefined)
        if (framer.buffered > 128) throw new Error('kept more than the bound')
      }
    }), { interruptAfterTimeLimit: 1000 })
    t.end()
  })
}

const refused = [
  { name: '4ascii: a letter in the length', framing: '4ascii', hex: '30303041', fault: 'length_not_decimal' },
  { name: '2bcd: nibble A in the length', framing: '2bcd', hex: '00A0', fault: 'length_not_decimal' },
  { name: 'cups: header byte 2D', framing: 'cups', hex: '2D0230303536', fault: 'envelope_invalid' },
  { name: 'cups: a total length of 45', framing: 'cups', hex: '2E0230303435', fault: 'length_out_of_range' },
  { name: 'cups4: a length of 40', framing: 'cups4', hex: '30303430', fault: 'length_out_of_range' },
  { name: '2b+tpdu: a length of 4', framing: '2b+tpdu', hex: '0004', fault: 'length_out_of_range' },
  { name: '4b: a length with the top bit', framing: '4b', hex: '80000001', fault: 'length_out_of_range' },
] as const

for (const row of refused) {
  t.test(`${row.name} is ${row.fault}`, (t) => {
    t.same(cut(row.framing, [Buffer.from(row.hex, 'hex')]), { events: [], fault: row.fault })
    t.end()
  })
}

t.test('lengths may count themselves: 2b with the number two higher (AmEx)', (t) => {
  const framing = framingFor('2b', { lengthIncludesItself: true })
  const bytes = Buffer.concat([Buffer.from([0, BODY.length + 2]), BODY])
  t.same(framing.wrap(Buffer.alloc(0), BODY), bytes)
  const seen: string[] = []
  t.equal(framing.createFramer(100).push(bytes, (all, _e, from, to) => {
    seen.push(Buffer.from(all.subarray(from, to)).toString('hex'))
  }, () => undefined), 0)
  t.same(seen, [BODY.toString('hex')])
  t.equal(framing.createFramer(100).push(Buffer.from([0, 1]), () => undefined, () => undefined), 'length_out_of_range')
  t.end()
})

t.test('visa: session control frames only keep the line open', (t) => {
  t.same(cut('visa', [Buffer.from('00020020ABCD', 'hex')]).events, ['idle'])
  t.end()
})

t.test('a reply has the TPDU turned round and the application header as it came', (t) => {
  const reply = framingFor('2b+tpdu+app').replyEnvelope(Buffer.from(`6012345678${APP}`, 'hex'))
  t.equal(reply.toString('hex').toUpperCase(), `6056781234${APP}`)
  t.end()
})

t.test('a CUPS reply has the ids turned round, parts 6 to 9 as they came, no reject code', (t) => {
  const request = cupsHeader(56, '00035')
  request.write('AA9', 28, 'latin1')
  request[31] = 1
  request.write('10000000', 32, 'latin1')
  request[40] = 0x3b
  const framing = framingFor('cups4')
  const parts = framing.describeEnvelope(framing.replyEnvelope(request), 10)
  t.match(parts, {
    destination_id: '03050001   ', source_id: '00010000   ', reserved: '414139', batch_number: '01',
    transaction_info: '10000000', user_info: '3B', reject_code: '00000',
  })
  const wrapped = framing.wrap(framing.replyEnvelope(request), BODY)
  t.equal(wrapped.subarray(0, 4).toString('latin1'), '0056')
  t.equal(wrapped.subarray(6, 10).toString('latin1'), '0056', 'the header says the same total length')
  t.end()
})

t.test('a rejected CUPS message shows the original message behind two headers', (t) => {
  const inner = Buffer.concat([cupsHeader(56), BODY])
  const bytes = Buffer.concat([Buffer.from('0102', 'latin1'), cupsHeader(102, '00035'), inner])
  const { events } = cut('cups4', [bytes])
  const [envelope = '', message] = events[0]!.split('|')
  t.equal(envelope.length / 2, 92)
  t.equal(message, BODY.toString('hex'))
  const framing = framingFor('cups4')
  t.equal(framing.rejected(Buffer.from(envelope, 'hex')), true)
  t.equal(framing.rejected(cupsHeader(56)), false)
  t.same(framing.wrap(Buffer.from(envelope, 'hex'), BODY), bytes)
  t.equal(cupsRejectHeader(cupsHeader(56), '00035').subarray(41).toString('latin1'), '00035')
  t.end()
})

t.test('a 41-byte header of a hosted issuer is read, and a total length with a blank after it', (t) => {
  const hosted = cupsHeader(51, '', 41)
  t.equal(cut('cups', [Buffer.concat([hosted, BODY])]).events[0]?.split('|')[1], BODY.toString('hex'))
  const blank = cupsHeader(56)
  blank.write('56  ', 2, 'latin1')
  t.equal(cut('cups', [Buffer.concat([blank, BODY])]).events[0]?.split('|')[1], BODY.toString('hex'))
  t.match(framingFor('cups').describeEnvelope(blank, BODY.length), { length_as_sent: '56  ' })
  t.end()
})

t.test('the header checks of the CUPS link name their reject code', (t) => {
  const rows = [
    { want: '00000', change: () => undefined },
    { want: '00015', change: (header: Buffer) => { header[0] = 0x2d } },
    { want: '00025', change: (header: Buffer) => { header[1] = 0x07 } },
    { want: '00000', change: (header: Buffer) => { header[1] = 0x82 } },
    { want: '00035', change: (header: Buffer) => { header.write('0057', 2, 'latin1') } },
    { want: '00045', change: (header: Buffer) => { header.write('00010001', 6, 'latin1') } },
    { want: '00055', change: (header: Buffer) => { header.write('99999999', 17, 'latin1') } },
  ] as const
  for (const { want, change } of rows) {
    const header = cupsHeader(56)
    change(header)
    t.equal(cupsHeaderFault(header, 10, '00010000', '03050001', 1938), want)
  }
  t.end()
})

t.test('an unknown framing is refused with the names that exist', (t) => {
  t.throws(() => framingFor('3b'), /one of: none visa cups/)
  t.end()
})
