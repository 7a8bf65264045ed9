/**
 * What is made from the dialect files is what they make of it; the types know the fields, the
 * schema takes every dialect file and refuses a wrong one.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parse } from 'yaml'
import { dialectFileSchema, loadDialect } from './dialects.ts'
import { dialectJsonSchema, publishedDialects } from './publish-dialects.ts'
import { VISA, type VisaField } from './dialects/types/visa.ts'
import { CUPS_POS } from './dialects/types/cups-pos.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

interface Node {
  properties?: Record<string, { anyOf?: unknown[] }>
  required?: string[]
}

t.test('publishing again changes nothing (else run: node config/publish-dialects.ts)', async (t) => {
  for (const { path, text } of publishedDialects()) {
    t.ok(readFileSync(path, 'utf8') === text, path.slice(ROOT.length))
  }
})

t.test('nothing stale lies among the published files', async (t) => {
  const known = new Set(publishedDialects().map((one) => one.path))
  for (const folder of ['config/dialects/types', 'docs/reference/dialects']) {
    for (const name of readdirSync(`${ROOT}${folder}`)) {
      t.ok(known.has(`${ROOT}${folder}/${name}`), name)
    }
  }
})

t.test('the compiler knows the fields of a dialect by name', async (t) => {
  const pin: VisaField = 'pin_data'
  t.equal(VISA[pin], 52)
  t.equal(CUPS_POS.original_message, 61)
  const unknownIsRefused: 'no_such_field' extends VisaField ? true : false = false
  t.equal(unknownIsRefused, false)
  const { fields } = loadDialect('visa').spec
  for (const [name, number] of Object.entries(VISA)) t.equal(fields[number]?.name, name)
})

t.test('every dialect file is as the schema says', async (t) => {
  for (const folder of ['config/dialects', 'config/dialects/variants']) {
    for (const name of readdirSync(`${ROOT}${folder}`)) {
      if (!name.endsWith('.yaml')) continue
      const content: unknown = parse(readFileSync(`${ROOT}${folder}/${name}`, 'utf8'))
      const result = dialectFileSchema.safeParse(content)
      t.ok(result.success, `${name} ${result.error?.issues[0]?.message ?? ''}`)
    }
  }
})

t.test('editors are told of fields, of meaning, and that an overlay may take keys away', async (t) => {
  const schema = JSON.parse(JSON.stringify(dialectJsonSchema())) as {
    additionalProperties: boolean
    required: string[]
    properties: Record<string, Node>
  }
  t.equal(schema.additionalProperties, false, 'an unknown key is a mistake')
  t.same(schema.required, ['name'])
  t.ok(schema.properties['meaning']?.properties?.['requests'])
  const changes = schema.properties['meaning_changes']
  t.equal(changes?.required, undefined)
  t.same(changes?.properties?.['matching']?.anyOf?.at(-1), { type: 'null' })
})
