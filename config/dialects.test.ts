/**
 * Dialect files: overlays change single keys, take fields away, may carry the base's name; every
 * mistake has its line.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { compileDialect } from '../switch/codec/dialect.ts'
import { DialectFileError, dialectNames, loadDialectSpec } from './dialects.ts'

/** A directory with the given files, removed with the test. */
function directory(t: Test, files: Readonly<Record<string, string>>): string {
  const root = t.testdir({})
  const folder = path.join(root, 'dialects')
  mkdirSync(folder)
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(path.join(folder, `${name}.yaml`), text)
  }
  return folder
}

function mistakes(name: string, folder: string): string[] {
  try {
    loadDialectSpec(name, [folder])
    return []
  } catch (error) {
    if (!(error instanceof DialectFileError)) throw error
    return error.mistakes.map((one) => `${path.basename(one.file)}:${one.line} ${one.text}`)
  }
}

t.test('every built-in dialect is consistent and says what each field may show', (t) => {
  for (const name of dialectNames()) {
    const dialect = compileDialect(loadDialectSpec(name))
    t.equal(dialect.secrecyOf(2), 'pan', `${name} masks DE2`)
    t.equal(dialect.secrecyOf(35), 'track', `${name} masks DE35`)
    t.equal(dialect.secrecyOf(45), 'track', `${name} masks DE45`)
    t.equal(dialect.secrecyOf(52), 'drop', `${name} hides DE52`)
  }
  t.end()
})

t.test('an overlay changes single keys, takes keys and fields away, and leaves the base as it is', (t) => {
  const folder = directory(t, {
    'bank-visa': 'name: bank-visa\ndescription: ours\nextends: visa\nfields:\n  62: { max: 100 }\n  63: null\n  43: { shape: null }\n',
  })
  const spec = loadDialectSpec('bank-visa', [folder])
  const base = loadDialectSpec('visa')
  t.equal(spec.fields[62]?.max, 100)
  t.equal(spec.fields[62]?.kind, 'b', 'the rest of the row is the base')
  t.equal(spec.fields[63], undefined)
  t.equal(spec.fields[43]?.shape, undefined)
  t.equal(base.fields[62]?.max, 255)
  t.ok(base.fields[63])
  t.ok(dialectNames([folder]).includes('bank-visa'))
  t.end()
})

t.test("a bank's own visa may extend the built-in visa", (t) => {
  const folder =
    directory(t,
      { visa: 'name: visa\ndescription: ours\nextends: visa\nfields:\n  62: { max: 77 }\n' })
  t.equal(loadDialectSpec('visa', [folder]).fields[62]?.max, 77)
  t.end()
})

t.test('meaning passes through as it stands', (t) => {
  const folder =
    directory(t,
      { x: 'name: x\ndescription: d\nextends: visa\nmeaning: { any: [1, { thing: two }] }\n' })
  t.same(loadDialectSpec('x', [folder]).meaning, { any: [1, { thing: 'two' }] })
  t.end()
})

const wrong = [
  { name: 'an unknown key of a field', text: 'fields:\n  4:\n    colour: red\n', want: /^x\.yaml:6 fields\.4\.colour: unknown key colour/ },
  { name: 'an unknown key of the file', text: 'colour: red\n', want: /^x\.yaml:4 colour: unknown key colour/ },
  { name: 'an unknown kind', text: 'fields:\n  4: { kind: nn }\n', want: /^x\.yaml:5 fields\.4\.kind/ },
  { name: 'a field number above 192', text: 'fields:\n  193: { max: 4 }\n', want: /^x\.yaml:5 fields\.193/ },
  { name: 'a maximum of nothing', text: 'fields:\n  4: { max: 0 }\n', want: /^x\.yaml:5 fields\.4\.max/ },
  { name: 'a new field without kind', text: 'fields:\n  150: { max: 4 }\n', want: /^x\.yaml:5 fields\.150/ },
  { name: 'a key twice', text: 'header: none\nheader: none\n', want: /^x\.yaml:5 / },
]

for (const row of wrong) {
  t.test(`${row.name} is named with its line`, (t) => {
    const folder = directory(t, { x: `name: x\ndescription: d\nextends: visa\n${row.text}` })
    const found = mistakes('x', folder)
    t.match(found[0] ?? 'no mistake', row.want)
    t.end()
  })
}

t.test('a base that does not exist, a circle, another name than the file and a path are refused', (t) => {
  const folder = directory(t, {
    a: 'name: a\ndescription: d\nextends: nothing-there\n',
    b: 'name: b\ndescription: d\nextends: c\n',
    c: 'name: c\ndescription: d\nextends: b\n',
    d: 'name: other\ndescription: d\nextends: visa\n',
  })
  t.match(mistakes('a', folder), [/^a\.yaml:3 unknown dialect nothing-there; known: a amex/])
  t.match(mistakes('b', folder), [/^c\.yaml:3 extends b in a circle/])
  t.match(mistakes('d', folder), [/^d\.yaml:1 must be d/])
  t.throws(() => loadDialectSpec('../visa', [folder]), DialectFileError)
  t.end()
})

t.test('a table that contradicts itself is refused with dialect and field', (t) => {
  const spec = loadDialectSpec('cups')
  const withField = (row: Partial<(typeof spec.fields)[string]>) =>
    () => compileDialect({ ...spec,
      fields: { ...spec.fields, 48: { ...spec.fields[48]!, ...row } } })
  t.throws(withField({ max: 1000 }), /dialect cups: field 48 has a maximum that its length prefix cannot hold/)
  t.throws(withField({ kind: 'b', coding: 'ascii' }), /field 48 of kind b cannot be coded ascii/)
  t.throws(withField({ kind: 'ans', coding: 'bcd-left' }), /field 48 of kind ans cannot be coded bcd-left/)
  t.throws(withField({ min: 600 }), /field 48 has a minimum above its maximum/)
  t.end()
})
