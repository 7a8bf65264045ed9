// Writes what is made from the configuration's schema: config/switchyard.schema.json, which editors
// complete and check with, and the tables of docs/reference/configuration.md. Run by hand after a
// change: node config/publish.ts. config/publish.test.ts fails when it was forgotten.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { jsonSchema } from './schema.ts'

/** The part of JSON Schema that ours uses. */
interface SchemaNode {
  type?: string
  properties?: Record<string, SchemaNode>
  required?: string[]
  items?: SchemaNode
  oneOf?: SchemaNode[]
  anyOf?: SchemaNode[]
  const?: unknown
  enum?: unknown[]
  minimum?: number
  maximum?: number
  default?: unknown
  description?: string
}

/** Everything below this line of the reference is made; above it is written by hand. */
const MARK = '<!-- Made by config/publish.ts from config/schema.ts; do not edit below. -->'

const SCHEMA_FILE = fileURLToPath(new URL('switchyard.schema.json', import.meta.url))
const REFERENCE = new URL('../docs/reference/configuration.md', import.meta.url)
const REFERENCE_FILE = fileURLToPath(REFERENCE)

/** The files as they must be, by path. */
export function published(): ReadonlyArray<{ path: string; text: string }> {
  const byHand = readFileSync(REFERENCE_FILE, 'utf8').split(MARK)[0] ?? ''
  return [
    { path: SCHEMA_FILE, text: `${JSON.stringify(jsonSchema(), null, 2)}\n` },
    { path: REFERENCE_FILE, text: `${byHand}${MARK}\n\n${tables()}` },
  ]
}

function tables(): string {
  const root = jsonSchema() as SchemaNode
  const sections: string[] = [table('Top level', root)]
  for (const [key, node] of Object.entries(root.properties ?? {})) {
    if (node.properties !== undefined) sections.push(table(key, node))
    for (const one of node.items?.oneOf ?? []) {
      sections.push(table(`${key}, role: ${String(one.properties?.['role']?.const)}`, one))
    }
    if (node.items?.properties !== undefined) sections.push(table(key, node.items))
  }
  return sections.join('\n')
}

function table(title: string, node: SchemaNode): string {
  const rows = Object.entries(node.properties ?? {}).map(([key, value]) => {
    const byDefault = node.required?.includes(key) === true ? '**needed**' : shownDefault(value)
    return `| \`${key}\` | ${form(value)} | ${byDefault} | ${value.description ?? ''} |`
  })
  const head = '| key | value | default | meaning |\n| --- | --- | --- | --- |'
  return `## ${title}\n\n${head}\n${rows.join('\n')}\n`
}

function shownDefault(node: SchemaNode): string {
  if (node.default === null || node.default === undefined) return 'none'
  return typeof node.default === 'object' ? 'see below' : `\`${String(node.default)}\``
}

function form(node: SchemaNode): string {
  const one = node.anyOf?.find((part) => part.type !== 'null') ?? node
  if (one.const !== undefined) return `\`${String(one.const)}\``
  if (one.enum !== undefined) return one.enum.map((word) => `\`${String(word)}\``).join(' ')
  if (one.type === 'integer') return `${one.minimum} to ${one.maximum}`
  if (one.type === 'boolean') return '`true` `false`'
  if (one.type === 'object') return 'section'
  return one.type === 'array' ? 'list' : 'text'
}

if (import.meta.main) {
  for (const { path, text } of published()) writeFileSync(path, text)
}
