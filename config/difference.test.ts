/**
 * Overlays as a bank writes them, in its own directory: what they change, what they leave alone,
 * what the difference says, and where a mistake is found.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { DialectFileError, dialectNames, loadDialect } from './dialects.ts'
import { dialectDifference } from './difference.ts'

function overlay(t: Test, text: string, name = 'bank-visa'): string {
  const folder = path.join(t.testdir({}), 'bank')
  mkdirSync(folder)
  const head = `name: ${name}\ndescription: ours\nextends: visa\n`
  writeFileSync(path.join(folder, `${name}.yaml`), head + text)
  return folder
}

/** Differences as short lines: part, field, key, before, after. */
function changes(before: string, after: string, folders: string[] = []): string[] {
  const found = dialectDifference(loadDialect(before, folders), loadDialect(after, folders))
  return found.map((one) => {
    return `${one.part} ${one.field ?? '-'} ${one.key} ${one.kind} ${one.before} ${one.after}`
  })
}

const NETWORK = 'requests.0100'
const ROWS = [
  { name: 'another length', text: 'fields: { 62: { max: 100 } }', want: ['field 62 max changed 255 100'] },
  { name: 'another unit of a prefix', text: 'fields: { 61: { length_unit: digits } }', want: ['field 61 length_unit changed bytes-or-digits digits'] },
  { name: 'a key taken away', text: 'fields: { 60: { shape: null, parts: null } }', want: ['field 60 shape removed positions null', /^field 60 parts removed \[/] },
  { name: 'a field taken away', text: 'fields: { 106: null }', want: ['field 106  removed {"name":"reserved_106","kind":"ans","length":"ll","max":255} null'] },
  { name: 'a field of its own', text: 'fields: { 170: { name: bank_170, kind: b, length: fixed, max: 4 } }', want: ['field 170  added null {"name":"bank_170","kind":"b","length":"fixed","max":4}'] },
  { name: 'another default coding', text: 'defaults: { text: ascii }', want: ['table - defaults.text changed ebcdic ascii'] },
  { name: 'one more mandatory field', text: `meaning_changes: { requests: { '0100': { mandatory: [2, 3, 7, 11, 22, 25, 32, 37, 41, 42, 49, 18] } } }`, want: [`meaning - ${NETWORK}.mandatory changed [2,3,7,11,22,25,32,37,41,42,49] [2,3,7,11,22,25,32,37,41,42,49,18]`] },
  { name: 'another response code', text: `meaning_changes: { response_codes: { format_error: '30' }, reasons: { '30': format_error } }`, want: ['meaning - response_codes.format_error changed 12 30', 'meaning - reasons.30 added null format_error'] },
  { name: 'a request that is not offered', text: `meaning_changes: { forward_mti: { balance: null } }`, want: ['meaning - forward_mti.balance removed 0100 null'] },
] as const

for (const row of ROWS) {
  t.test(`an overlay with ${row.name} differs in that and in nothing else`, async (t) => {
    const folder = overlay(t, row.text)
    const found = changes('visa', 'bank-visa', [folder])
    t.equal(found.length, row.want.length)
    for (const [i, want] of row.want.entries()) t.match(found[i], want)
    t.same(changes('visa', 'visa'), [], 'the base is what it was')
  })
}

t.test('meaning replaces what the base means, meaning_changes changes single keys', async (t) => {
  const folder = overlay(t, 'meaning: { matching: [11] }\n')
  t.same(Object.keys(loadDialect('bank-visa', [folder]).meaning.requests), [])
})

t.test('two built-in dialects differ as their files say', async (t) => {
  const found = changes('iso87-ascii', 'iso87-binary')
  t.ok(found.includes('table - mti.coding changed ascii bcd'))
  t.ok(found.includes('field 55 kind changed ans b'))
  t.ok(found.includes('meaning - requests.0200.build.55 changed icc_hex icc'))
})

t.test('a variant is found by its name and is not listed among the dialects', async (t) => {
  t.equal(loadDialect('mastercard-single').meaning.forward_mti['purchase'], '0200')
  t.notOk(dialectNames().includes('mastercard-single'))
})

const MISTAKES = [
  { name: 'an unknown key of the meaning', text: 'meaning_changes:\n  colour: red\n', want: /^bank-visa\.yaml:5 meaning_changes\.colour: unknown key colour/ },
  { name: 'an unknown key of a message', text: `meaning_changes:\n  requests:\n    '0100':\n      mandatori: [2]\n`, want: /^bank-visa\.yaml:7 meaning_changes\.requests\.0100\.mandatori: unknown key/ },
  { name: 'a condition that cannot be read', text: `meaning_changes:\n  requests:\n    '0100':\n      conditional:\n        4: when it rains\n`, want: /^bank-visa\.yaml:8 .*"when it rains" is no condition/ },
  { name: 'a field that is no number', text: `meaning_changes:\n  requests:\n    '0100':\n      mandatory: [two]\n`, want: /^bank-visa\.yaml:7 meaning_changes\.requests\.0100\.mandatory/ },
  { name: 'an unknown kind of field', text: 'fields:\n  62: { kind: bytes }\n', want: /^bank-visa\.yaml:5 fields\.62\.kind/ },
] as const

for (const row of MISTAKES) {
  t.test(`${row.name} is named with file and line`, async (t) => {
    const folder = overlay(t, row.text)
    try {
      loadDialect('bank-visa', [folder])
      t.fail('was taken')
    } catch (error) {
      if (!(error instanceof DialectFileError)) throw error
      const [first] = error.mistakes
      t.match(`${path.basename(first?.file ?? '')}:${first?.line} ${first?.text}`, row.want)
    }
  })
}
