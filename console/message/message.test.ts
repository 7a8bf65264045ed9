/**
 * `switchyard message` through the command line's own parser and standard streams: records, masks,
 * errors per line, exit codes. Frames are those of tests/vectors or written by hand.
 */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { loadDialectSpec } from '../../config/dialects.ts'
import { maskCardNumbers, maskPan, maskTrack } from '../../switch/codec/mask.ts'
import { MessageCodec } from './codec.ts'
import { differences } from './describe.ts'
import { bytesOfHexLine } from './hex-input.ts'
import { maskTlvHex } from './mask-chip.ts'
import type { MessageRecord } from './record.ts'

interface Ran {
  readonly code: number | null
  readonly out: string
  readonly talk: string
}

/** Runs `switchyard` in a process of its own. */
function run(args: readonly string[], input: string): Promise<Ran> {
  const entry = new URL('../../bin/switchyard.js', import.meta.url).pathname
  const child = spawn(process.execPath, [entry, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
  let out = ''
  let talk = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { out += text })
  child.stderr.setEncoding('utf8').on('data', (text: string) => { talk += text })
  child.stdin.end(input)
  return new Promise((resolve) => {
    child.on('close', (code) => { resolve({ code, out, talk }) })
  })
}

const vectors =
  readFileSync(new URL('../../tests/vectors/messages.jsonl', import.meta.url),
    'utf8').trim().split('\n')
  .map((line) => JSON.parse(line) as { id: string; hex: string; mti: string })
const vector = (id: string): string => vectors.find((one) => one.id === id)?.hex ?? ''

t.test('decode prints a record or a fault for each line and goes on; encode gives the bytes back', async (t) => {
  const visa = ['--dialect', 'visa', '--framing', 'visa']
  const spaced = vector('V06').replace(/../g, '$& ').toLowerCase()
  const colons = vector('V12').replace(/..(?=.)/g, '$&:')
  const input =
    [vector('V01'), 'zz', spaced, vector('V06').slice(0, -2), '', colons, '00000000'].join('\n')
  const decoded = await run(['message', 'decode', ...visa, '--show-sensitive'], input)
  const lines =
    decoded.out.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
  t.same(lines.map((line) => line['mti'] ?? line['error'] ?? line['keep_alive']), [
    '0100', { kind: 'input_not_hex', field: 0, offset: 0 }, '0800', { kind: 'frame_truncated', field: 0, offset: 65 },
    '0810', '00000000',
  ])
  t.equal(decoded.code, 1, 'two lines failed')
  const good = decoded.out.split('\n').filter((line) => !line.includes('"error"')).join('\n')
  const encoded = await run(['message', 'encode', ...visa], good)
  t.same(encoded.out.trim().split('\n'), [vector('V01'), vector('V06'), vector('V12'), '00000000'])
  t.equal(encoded.code, 0)
  t.equal(encoded.talk + decoded.talk, '')
})

t.test('encode keeps the place of a record that fails', async (t) => {
  const input =
    ['{"mti":"0800","fields":{"11":"000001"}}', '{', '{"mti":"0800","fields":{"11":"x"}}',
      '[]'].join('\n')
  const ran = await run(['message', 'encode', '--dialect', 'iso87-ascii'], input)
  t.same(ran.out.trim().split('\n').map((line) => (line.startsWith('{') ? (JSON.parse(line) as Record<string, unknown>)['error'] : line)), [
    Buffer.from('08000020000000000000000001', 'latin1').toString('hex').toUpperCase(),
    { kind: 'input_not_json', field: 0, offset: -1 }, { kind: 'not_digits', field: 11, offset: -1 },
    { kind: 'record_not_an_object', field: 0, offset: -1 },
  ])
  t.equal(ran.code, 1)
})

t.test('wrong usage ends with 2 and says what exists; help has an example first', async (t) => {
  const unknown = await run(['message', 'decode', '--dialect', 'visaa'], '')
  t.equal(unknown.code, 2)
  t.match(unknown.talk, /unknown dialect 'visaa'; one of: amex cups cups-pos/)
  t.equal((await run(['message', 'decode', '--dialect', 'visa', '--framing', '3b'], '')).code, 2)
  t.equal((await run(['message', 'decode'], '')).code, 2)
  const missing = await run(['message', 'decode', '--dialect', 'visa', 'no-such-file'], '')
  t.equal(missing.code, 1)
  t.match(missing.talk, /cannot read no-such-file: ENOENT/)
  const help = await run(['message', 'decode', '--help'], '')
  t.equal(help.code, 0)
  t.match(help.out, /^Examples?:\n {2}switchyard message decode/)
})

/** A test number with a right check digit. */
const PAN = '4111110000000112'

t.test('nothing sensitive is shown without --show-sensitive, and masks keep the length', (t) => {
  const codec = new MessageCodec(loadDialectSpec('cups'), 'none')
  const bytes = codec.encode({
    mti: '0200',
    fields: {
      2: PAN, 35: `${PAN}=2912201000`, 45: `B${PAN}^A/B^2912`, 52: '0123456789ABCDEF',
      55: `5A08${PAN}9F2608AABBCCDDEEFF0011`, 59: `QD${PAN}`, 61: 'x'.repeat(30), 63: 'SM016'.padEnd(21, 'k'),
      102: PAN, 104: `AB016${PAN}`, 123: 'hex:D6D0' + Buffer.from(PAN, 'latin1').toString('hex'),
    },
  })
  t.ok(Buffer.isBuffer(bytes), JSON.stringify(bytes))
  const masked = codec.decode(bytes as Buffer, false) as MessageRecord
  const open = codec.decode(bytes as Buffer, true) as MessageRecord
  const shown = JSON.stringify(masked)
  for (const secret of [PAN, PAN.slice(6, 12), Buffer.from(PAN, 'latin1').toString('hex'),
    '0123456789ABCDEF', '2912']) {
    t.notOk(shown.includes(secret))
  }
  for (const field of Object.keys(open.fields)) {
    t.equal(masked.fields[field]?.length, open.fields[field]?.length, field)
  }
  t.equal(masked.fields['2'], '411111******0112')
  t.equal(masked.fields['35'], '411111******0112=**********')
  t.equal(masked.fields['55'], '5A08411111******01129F2608AABBCCDDEEFF0011')
  t.equal(masked.fields['52'], '****************')
  t.end()
})

t.test('masks fail closed', (t) => {
  t.equal(maskPan('123456789012'), '************', 'too short for a PAN')
  t.equal(maskTrack('no track at all'), '***************')
  t.equal(maskTrack('123=456'), '*******')
  t.equal(maskTlvHex(Buffer.from('5A9F', 'hex')), '****', 'not well formed')
  t.equal(maskTlvHex(Buffer.from(`710A5A08${PAN}`, 'hex')), '710A5A08411111******0112', 'inside a template')
  t.equal(maskCardNumbers('ref 4111111111111112.'), 'ref 4111111111111112.', 'wrong check digit')
  t.equal(maskCardNumbers('ref 4111111111111111.'), 'ref 411111******1111.')
  t.equal(maskCardNumbers('0164111111111111111999'), '016411111******1111999', 'inside a longer number')
  t.end()
})

t.test('hexadecimal is read with spaces, colons, dashes or 0x, and nothing else', (t) => {
  const bytes = Buffer.from('0800AB', 'hex')
  for (const text of ['0800AB', '08 00 ab', '08:00:AB', '08-00-ab', '0x0800ab', '  0800AB\r',
    '08  00\tAB']) {
    t.same(bytesOfHexLine(text), bytes, text)
  }
  for (const [text, at] of [['08G0', 2], ['080', 3], ['0 800', 1], ['08,00', 2]] as const) {
    t.equal(bytesOfHexLine(text), at, text)
  }
  t.end()
})

t.test('what the bytes say beyond their values survives: pads, letters, lengths, bitmaps, headers', (t) => {
  const ascii = (text: string): string => Buffer.from(text, 'latin1').toString('hex')
  const rows = [
    { name: 'pad F', dialect: 'cups-pos', framing: 'none', hex: '020040000000000000001962251880000516881 23F' },
    { name: 'lower-case bitmap', dialect: 'iso87-ascii', framing: 'none', hex: ascii('0800002000000a00000012345612123456789012') },
    { name: 'Visa DE61 in digits', dialect: 'visa', framing: 'none', hex: `0100000000000000000824${'0'.repeat(36)}` },
    { name: 'an empty second bitmap', dialect: 'cups', framing: 'none', hex: `${ascii('0820')}80000000000000000000000000000000` },
    { name: 'a length that counts itself', dialect: 'mastercard', framing: '2b', hex: '000EF0F8F0F00000000000000000' },
    { name: 'reserved bytes of the VisaNet frame', dialect: 'visa', framing: 'visa', hex: '000A01000800' + '00'.repeat(8) },
    { name: 'a CUPS total length with blanks', dialect: 'cups', framing: 'cups', hex: `2E02${ascii('58  ')}${ascii('00010000   03050001   ')}00000000${ascii('00000000')}00${ascii('00000')}${ascii('0820')}0000000000000000` },
    { name: 'a VisaNet header with another total length', dialect: 'visa', framing: 'none', hex: `160102FFFF${'00'.repeat(17)}0800${'00'.repeat(8)}` },
  ]
  for (const row of rows) {
    const hex = row.hex.replaceAll(' ', '').toUpperCase()
    const codec = new MessageCodec(loadDialectSpec(row.dialect), row.framing)
    const record = codec.decode(Buffer.from(hex, 'hex'), true)
    t.ok('mti' in record, `${row.name}: ${JSON.stringify(record)}`)
    const again = codec.encode(JSON.parse(JSON.stringify(record)))
    t.equal(Buffer.isBuffer(again) ? again.toString('hex').toUpperCase() : JSON.stringify(again), hex, row.name)
  }
  t.end()
})

t.test('two dialects are compared key by key', (t) => {
  const base = loadDialectSpec('visa')
  const { 63: _dropped, ...kept } = base.fields
  const changed = { ...base, fields: { ...kept, 62: { ...base.fields[62]!, max: 100 } } }
  t.same(differences(base, base), [])
  t.same(differences(base, changed).map((one) => [one.key, one.before, one.after]), [
    ['fields.62.max', 255, 100], ['fields.63', base.fields[63], undefined],
  ])
  t.end()
})

t.test('describe and diff print what a dialect says, and name what there is when asked for less', async (t) => {
  const field = await run(['message', 'describe', '--dialect', 'visa', '60', '--json'], '')
  t.match(JSON.parse(field.out), { field: 60, format: 'b..6 LL', parts: { terminal_type: 1, moto_eci: 2 } })
  t.match((await run(['message', 'describe', '--dialect', 'cups', '0200'], '')).out, /mandatory:[^]*primary_account_number/)
  t.equal((await run(['message', 'describe', '--dialect', 'visa', '193'], '')).code, 2)
  const diff = await run(['message', 'diff', 'iso87-ascii', 'iso87-binary'], '')
  t.match(diff.out, /mti\.coding +ascii -> bcd/)
  t.equal(diff.code, 0)
})
