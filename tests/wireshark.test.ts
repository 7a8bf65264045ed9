/**
 * The dissector reads the sample messages as our codec's vectors say, when tshark is installed:
 * apt-get install tshark. Without it the test says so and passes; CI machines may not have it.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import { loadDialect } from '../config/dialects.ts'
import { compileDialect } from '../switch/codec/dialect.ts'
import { MessageWriter } from '../switch/codec/writer.ts'
import { pcapFile, segmentsOf } from './pcap-writer.ts'

const SCRIPT = fileURLToPath(new URL('../docs/wireshark/switchyard.lua', import.meta.url))
const found = spawnSync('tshark', ['--version'], { encoding: 'utf8' })
const skip = found.error === undefined ? false : 'tshark is not installed'

interface Sample {
  readonly name: string
  readonly dialect: string
  readonly mti: string
  readonly fields: Readonly<Record<string, string>>
  readonly frame: Buffer
}

/** The vectors, each in the framing that the test gives its dialect. */
function vectors(): Sample[] {
  const text = readFileSync(new URL('vectors/messages.jsonl', import.meta.url), 'utf8')
  return text.trim().split('\n').map((line) => {
    const one = JSON.parse(line) as Sample & { id: string; hex: string; framing: string }
    const bytes = Buffer.from(one.hex, 'hex')
    const bare = one.framing === 'none' || one.framing === 'tpdu+app'
    const frame = bare ? framed(bytes) : bytes
    return { ...one, name: one.id, frame }
  })
}

function framed(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
}

/** What the vectors have no sample of: written by our codec, for the dissector is tested here. */
function written(dialect: string, mti: string, fields: Readonly<Record<string, string>>): Sample {
  const writer = new MessageWriter(compileDialect(loadDialect(dialect).spec), 2048)
  writer.begin(mti)
  for (const [field, text] of Object.entries(fields)) writer.setText(Number(field), text)
  const bytes = writer.finish()!.frame
  const frame = framed(bytes)
  return { name: `${dialect} ${mti}`, dialect, mti, fields, frame }
}

const COMMON = {
  2: '4761739001010119', 3: '000000', 4: '000000012345', 11: '000042', 23: '001', 28: 'D00000030',
  32: '123', 35: '4761739001010119=3012', 37: '607706000042', 41: 'T1      ',
  52: 'C0FFEE0123456701',
  70: '301', 97: 'C0000000000000001',
}

function samples(): Sample[] {
  const packed = { ...COMMON, 35: '4761739001010119D3012', 55: '9F36020011' }
  const { 28: _amount, ...later } = COMMON
  return [
    ...vectors(),
    written('iso87-ascii', '0200', COMMON),
    written('iso87-binary', '0200', packed),
    written('iso93-ascii', '1200', { ...later, 53: 'AB12', 55: '9F36020011' }),
    written('amex', '1100', { ...later, 35: COMMON[35], 53: '1334', 111: 'LONG' }),
  ]
}

/** One conversation per sample, cut into segments of 100 bytes, port 9000 and on. */
function dissect(t: Test, list: readonly Sample[], options: readonly string[]): Layer[][] {
  const file = path.join(t.testdir({}), 'samples.pcap')
  const segments = list.flatMap((one, i) => segmentsOf(one.frame, [40_000 + i, 9000 + i], 100))
  writeFileSync(file, pcapFile(segments))
  const decode = list.flatMap((one, i) => ['-d', `tcp.port==${9000 + i},${protocol(one.dialect)}`])
  const ran = spawnSync('tshark', [
    '-X', `lua_script:${SCRIPT}`, ...decode, '-o', 'switchyard_cups.framing:2b', ...options,
    '-r', file, '-T', 'json', '--no-duplicate-keys',
  ], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  t.notMatch(ran.stderr, /lua|error/i, 'the script loads without complaint')
  const packets = JSON.parse(ran.stdout) as { _source: { layers: Record<string, Layer> } }[]
  return list.map((one, i) => packets
    .filter(({ _source: { layers } }) => portOf(layers) === String(9000 + i))
    .map(({ _source: { layers } }) => layers[protocol(one.dialect)])
    .filter((layer) => layer !== undefined))
}

type Layer = Record<string, string>

const protocol = (dialect: string): string => `switchyard_${dialect.replaceAll('-', '_')}`

function portOf(layers: Record<string, Layer>): string {
  return layers['tcp']?.['tcp.dstport'] ?? ''
}

t.test('tshark reads every field of the sample messages', { skip }, async (t) => {
  const list = samples()
  const names = [...new Set(list.map((one) => protocol(one.dialect)))]
  const layers = dissect(t, list, names.flatMap((name) => ['-o', `${name}.show_sensitive:TRUE`]))
  for (const [i, one] of list.entries()) {
    const [layer] = layers[i] ?? []
    t.equal(layers[i]?.length, 1, `${one.name} is one message over its segments`)
    const name = protocol(one.dialect)
    const { fields } = loadDialect(one.dialect).spec
    t.equal(layer?.[`${name}.mti`], one.mti, `${one.name} MTI`)
    t.equal(layer?.[`${name}.fault`], undefined, `${one.name} has no fault`)
    t.equal(layer?.[`${name}.bitmap`], Object.keys(one.fields).join(' '), `${one.name} fields`)
    for (const [field, text] of Object.entries(one.fields)) {
      // Raw bytes are no text in the character set; some vectors give parts instead of text.
      if (typeof text !== 'string' || text.startsWith('hex:')) continue
      const shown = layer?.[`${name}.${fields[field]?.name}`]
      t.equal(shown?.trimEnd(), text.trimEnd(), `${one.name} DE${field}`)
    }
  }
})

t.test('card data is masked unless the preference says otherwise', { skip }, async (t) => {
  const list = samples()
  const layers = dissect(t, list, [])
  const text = JSON.stringify(layers)
  for (const one of list) {
    const pan = one.fields['2']
    if (pan !== undefined) t.notMatch(text, pan, `${one.name}: the card number is not shown`)
    const pin = one.fields['52'] ?? ''
    if (/[1-9]/.test(pin)) t.notMatch(text, pin, `${one.name}: nor the PIN block`)
  }
})

t.test('the first wrong field is named, and the rest of the capture is read', { skip }, async (t) => {
  const good = written('iso87-ascii', '0200', COMMON)
  const bad = Buffer.from(good.frame)
  bad.write('9', bad.indexOf('4761739001010119') - 2, 'latin1') // length of DE2: 96 digits
  const [broken, whole] = dissect(t, [{ ...good, frame: bad }, good], [])
  t.match(broken?.[0]?.['switchyard_iso87_ascii.fault'], /^DE2: length is over the maximum/)
  t.equal(whole?.[0]?.['switchyard_iso87_ascii.fault'], undefined)
})
