/**
 * `switchyard message explain`: every real message is recognised without being told what it is, in
 * every form in which people paste bytes; of a bad one the first wrong byte is named; nothing
 * sensitive is printed.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import fc from 'fast-check'
import { dialectNames, loadDialectSpec } from '../../config/dialects.ts'
import { compileDialect } from '../../switch/codec/dialect.ts'
import { candidatesFor } from './candidates.ts'
import { bytesOfPasted, withoutPacketHeaders } from './pasted.ts'

interface Sample {
  readonly id: string
  readonly dialect: string
  readonly framing: string
  readonly hex: string
  readonly fields: Readonly<Record<string, unknown>>
}

const samples = readFileSync(new URL('../../tests/vectors/messages.jsonl', import.meta.url), 'utf8')
  .trim().split('\n').map((line) => JSON.parse(line) as Sample)
const hexOf = (id: string): string => samples.find((one) => one.id === id)?.hex ?? ''
const dialects = dialectNames().map((name) => compileDialect(loadDialectSpec(name)))

function explain(args: readonly string[], input = ''): { code: number | null; out: string } {
  const entry = new URL('../../bin/switchyard.js', import.meta.url).pathname
  const ran =
    spawnSync(process.execPath, [entry, 'message', 'explain', ...args], { input, encoding: 'utf8' })
  return { code: ran.status, out: ran.stdout + ran.stderr }
}

for (const sample of samples) {
  t.test(`${sample.id} is recognised as ${sample.framing} / ${sample.dialect}`, (t) => {
    const [best] = candidatesFor(Buffer.from(sample.hex, 'hex'), dialects)
    t.equal(best?.fault, null)
    t.equal(`${best?.framing.name} / ${best?.dialect.name}`, `${sample.framing} / ${sample.dialect}`)
    t.end()
  })
}

const bytes = Buffer.from(hexOf('V06'), 'hex')
const lines = (from: (offset: number, part: Buffer) => string): string => Array.from(
  { length: Math.ceil(bytes.length / 16) }, (_, i) => from(i * 16, bytes.subarray(i * 16, i * 16 + 16)),
).join('\n')
const pairs = (part: Buffer): string => part.toString('hex').replace(/..(?=.)/g, '$& ')
const fours = (part: Buffer): string => part.toString('hex').replace(/....(?=.)/g, '$& ')
const offset = (value: number, digits: number): string => value.toString(16).padStart(digits, '0')
const dots = (part: Buffer): string => '.'.repeat(part.length)

const forms = [
  { name: 'plain hexadecimal', text: hexOf('V06') },
  { name: 'hexadecimal over several lines', text: hexOf('V06').replace(/.{40}/g, '$&\n') },
  { name: 'colons', text: hexOf('V06').replace(/..(?=.)/g, '$&:') },
  { name: "Wireshark's copy", text: lines((at, part) => `${offset(at, 4)}   ${pairs(part)}   ${dots(part)}`) },
  { name: 'xxd', text: lines((at, part) => `${offset(at, 8)}: ${fours(part).padEnd(39)}  ${dots(part)}`) },
  { name: 'hexdump -C', text: lines((at, part) => `${offset(at, 8)}  ${pairs(part).padEnd(47)}  |${dots(part)}|`) },
  { name: 'base64', text: bytes.toString('base64') },
  { name: 'a log line', text: `2026-11-22T10:00:01Z visa-1 recv len=66 data=[${hexOf('V06')}] ok` },
]

for (const form of forms) {
  t.test(`bytes are found in ${form.name}`, (t) => {
    t.equal(Buffer.from(bytesOfPasted(form.text)?.bytes ?? []).toString('hex').toUpperCase(), hexOf('V06'))
    t.end()
  })
}

t.test('a packet of tcpdump -XX loses its Ethernet, IP and TCP headers', (t) => {
  const tcp = Buffer.alloc(32)
  tcp[12] = 0x80
  const ip = Buffer.alloc(20)
  ip[0] = 0x45
  ip[9] = 6
  ip.writeUInt16BE(20 + tcp.length + bytes.length, 2)
  const ethernet = Buffer.concat([Buffer.alloc(12), Buffer.from('0800', 'hex')])
  const packet = Buffer.concat([ethernet, ip, tcp, bytes])
  t.same(Buffer.from(withoutPacketHeaders(packet)), bytes)
  t.same(Buffer.from(withoutPacketHeaders(packet.subarray(14))), bytes)
  t.same(Buffer.from(withoutPacketHeaders(bytes)), bytes)
  const dump = Array.from({ length: Math.ceil(packet.length / 16) }, (_, i) => {
    const part = packet.subarray(i * 16, i * 16 + 16)
    return `\t0x${offset(i * 16, 4)}:  ${fours(part).padEnd(39)}  ${dots(part)}`
  }).join('\n')
  t.same(Buffer.from(bytesOfPasted(dump)?.bytes ?? []), bytes)
  t.end()
})

t.test('a good message is shown field by field, masked; a bad one with its first wrong byte', (t) => {
  const good = explain([hexOf('V01')])
  t.equal(good.code, 0)
  t.match(good.out, /fits \(framing \/ dialect\): visa \/ visa/)
  t.match(good.out, /36 0024 {2}DE2 primary_account_number \(n\.\.19 LL\) +412370\*\*\*\*\*\*0029/)
  t.notMatch(good.out, /41 23 70 99 99|4123709999/)
  const bad = explain([], hexOf('P-33').replace('6224242300', '62F4242300'))
  t.equal(bad.code, 1)
  t.match(bad.out, /nothing fits; tpdu\+app \/ cups-pos comes furthest/)
  t.match(bad.out, /first wrong byte: offset 23 in DE2 primary_account_number: not digits/)
  t.equal(explain(['no bytes here']).code, 1)
  t.end()
})

t.test('any text gives bytes or none, quickly and without throwing', (t) => {
  const unit = fc.constantFrom(...'0123456789abcdefABCDEF :|\n\t=xX+/.-')
  fc.assert(fc.property(fc.string({ unit, maxLength: 400 }), (text) => {
    const found = bytesOfPasted(text)
    return found === null || found.bytes.length > 0
  }), { numRuns: 3000, interruptAfterTimeLimit: 1500 })
  t.end()
})

t.test('any bytes give candidates without throwing', (t) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (some) => {
    candidatesFor(some, dialects)
  }), { numRuns: 400, interruptAfterTimeLimit: 1500 })
  t.end()
})
