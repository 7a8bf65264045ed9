/**
 * The examples of docs/reference/dialect-files.md are dialects: they load from a bank's directory,
 * a purchase goes through the first, and the tables of the page name every key there is.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { dialectJsonSchema } from '../config/publish-dialects.ts'
import { dialectDifference } from '../config/difference.ts'
import { loadDialect } from '../config/dialects.ts'
import { checkMessage, unknownFields } from '../config/message-rules.ts'
import { compileDialect } from '../switch/codec/dialect.ts'
import { Fault } from '../switch/codec/fault.ts'
import { View } from '../switch/codec/view.ts'
import { walk } from '../switch/codec/walk.ts'

const PAGE = readFileSync(new URL('../docs/reference/dialect-files.md', import.meta.url), 'utf8')

/** The page's examples as files of a directory. */
function bank(t: Test): string {
  const folder = path.join(t.testdir({}), 'bank')
  mkdirSync(folder)
  for (const [, text = ''] of PAGE.matchAll(/```yaml\n([\s\S]*?)```/g)) {
    const name = /^name: ([a-z-]+)/.exec(text)?.[1] ?? ''
    writeFileSync(path.join(folder, `${name}.yaml`), text)
  }
  return folder
}

t.test('the example is a dialect, and a message made by hand is read with it', async (t) => {
  const { spec, meaning } = loadDialect('acme', [bank(t)])
  t.same(unknownFields(spec.fields, meaning), [])
  // MTI; bitmap 2 3 4 7 11 22 32 41 49; then the fields as the table says.
  const parts = [
    '0200', '7220040100808000', '16', '4761739001010119', '000000', '000000012345', '0318064539',
    '000042', '0510', '05', '012345', '5430303030303031', '0156',
  ]
  const frame = Buffer.from(parts.join(''), 'hex')
  const view = new View()
  const fault = new Fault()
  const dialect = compileDialect(spec)
  t.ok(walk(dialect, frame, 0, frame.length, view, fault), `${fault.kind} ${fault.field}`)
  t.equal(view.text(22), '051')
  t.equal(view.text(32), '12345')
  t.equal(view.text(41), 'T0000001')
  t.same(checkMessage(meaning, view).map((one) => `${one.kind} ${one.field} ${one.rule}`), [
    'missing 52 when pin',
  ])
})

t.test('the overlay of the page differs from its base as it says', async (t) => {
  const folder = bank(t)
  const found = dialectDifference(loadDialect('visa'), loadDialect('bank-visa', [folder]))
  t.same(found.map((one) => `${one.part} ${one.field ?? one.key} ${one.kind}`), [
    'field 62 changed', 'field 106 removed', 'meaning requests.0100.mandatory changed',
    'meaning response_codes.format_error changed',
  ])
})

t.test('the page names every key of a field and of the meaning', async (t) => {
  const schema = dialectJsonSchema() as {
    properties: {
      meaning: { properties: Record<string, unknown> }
      fields: { additionalProperties: { anyOf: { properties: Record<string, unknown> }[] } }
    }
  }
  const { meaning, fields } = schema.properties
  const [row] = fields.additionalProperties.anyOf
  const keys = [...Object.keys(meaning.properties), ...Object.keys(row?.properties ?? {})]
  t.ok(keys.length > 30)
  const words = new Set([...PAGE.matchAll(/`([a-z_ ]+)`/g)].flatMap(([, text]) => text?.split(' ')))
  for (const key of keys) t.ok(words.has(key), key)
})
