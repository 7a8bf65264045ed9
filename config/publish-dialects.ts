// Writes what is made from the dialect files: config/dialects.schema.json for editors, the types of
// config/dialects/types/, the pages of docs/reference/dialects/ and the dissector of
// docs/wireshark/. Run by hand after a change: node config/publish-dialects.ts.
// config/publish-dialects.test.ts fails when it was forgotten.
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { dialectPage } from './dialect-page.ts'
import { wiresharkDissector } from './dialect-wireshark.ts'
import { dialectFileSchema, dialectNames, loadDialect } from './dialects.ts'
import type { LoadedDialect } from './dialects.ts'

/** Forms of the built-in dialects that have a file of their own. */
export const VARIANT_NAMES = ['mastercard-single'] as const

const at = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

/** The files as they must be, by path. */
export function publishedDialects(): ReadonlyArray<{ path: string; text: string }> {
  const names = [...dialectNames(), ...VARIANT_NAMES]
  const loaded = names.map((name) => loadDialect(name))
  return [
    { path: at('dialects.schema.json'), text: `${JSON.stringify(dialectJsonSchema(), null, 2)}\n` },
    ...loaded.map((one) => ({
      path: at(`dialects/types/${one.spec.name}.ts`), text: typesOf(one),
    })),
    ...loaded.map((one) => ({
      path: at(`../docs/reference/dialects/${one.spec.name}.md`), text: dialectPage(one),
    })),
    { path: at('../docs/reference/dialects/README.md'), text: indexOf(loaded) },
    { path: at('../docs/wireshark/switchyard.lua'), text: wiresharkDissector(loaded) },
  ]
}

/** The list of the pages. */
function indexOf(dialects: readonly LoadedDialect[]): string {
  const rows = dialects.map(({ spec: { name, description } }) => {
    return `| [${name}](${name}.md) | ${description} |`
  })
  return [
    '# Dialects',
    '',
    '<!-- Made by config/publish-dialects.ts from the dialect files; do not edit. -->',
    '',
    'What a dialect file may say and how to write one: [dialect-files.md](../dialect-files.md).',
    '',
    '| dialect | |',
    '| --- | --- |',
    ...rows,
    '',
  ].join('\n')
}

interface SchemaNode {
  [key: string]: unknown
}

/** JSON Schema of a dialect file. In `meaning_changes` nothing is required and null takes away. */
export function dialectJsonSchema(): SchemaNode {
  const schema = z.toJSONSchema(dialectFileSchema, { io: 'input', unrepresentable: 'any' })
  const root = { title: 'Switchyard dialect', ...schema } as unknown as SchemaNode
  const properties = root['properties'] as Record<string, SchemaNode>
  properties['meaning_changes'] = loosened(properties['meaning'])
  return root
}

/** The same shape with nothing required and null allowed for every key. */
function loosened(node: unknown): SchemaNode {
  if (typeof node !== 'object' || node === null) return {}
  const { required: _required, ...rest } = node as SchemaNode
  const optional = (inner: unknown): SchemaNode => ({ anyOf: [loosened(inner), { type: 'null' }] })
  const { properties, additionalProperties: others } = rest
  if (typeof properties === 'object' && properties !== null) {
    rest['properties'] = Object.fromEntries(
      Object.entries(properties).map(([key, inner]) => [key, optional(inner)]),
    )
  }
  if (typeof others === 'object' && others !== null) rest['additionalProperties'] = optional(others)
  return rest
}

/** Names of a dialect's fields as a table and a type: `VISA.pin_data`, `VisaField`. */
function typesOf({ spec }: LoadedDialect): string {
  const constant = spec.name.toUpperCase().replaceAll('-', '_')
  const type = spec.name.split('-').map((word) => word[0]!.toUpperCase() + word.slice(1)).join('')
  const seen = new Set<string>()
  const rows = Object.entries(spec.fields).map(([number, field]) => {
    if (seen.has(field.name)) throw new Error(`${spec.name}: two fields are named ${field.name}`)
    seen.add(field.name)
    return `  ${field.name}: ${number},`
  })
  return [
    `// Made by config/publish-dialects.ts from ${spec.name}: do not edit.`,
    `// Field names for the compiler: view.text(${constant}.${[...seen][0]}).`,
    '',
    '/** Field numbers by name. */',
    `export const ${constant} = {`,
    ...rows,
    '} as const',
    '',
    '/** A field name of this dialect. */',
    `export type ${type}Field = keyof typeof ${constant}`,
    '',
  ].join('\n')
}

if (import.meta.main) {
  for (const { path: file, text } of publishedDialects()) {
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
}
