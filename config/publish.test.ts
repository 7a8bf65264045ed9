// The published schema and reference are what the schema makes of them.
import { readFileSync } from 'node:fs'
import t from 'tap'
import { published } from './publish.ts'

t.test('publishing again changes nothing (else run: node config/publish.ts)', async (t) => {
  for (const { path, text } of published()) {
    t.equal(readFileSync(path, 'utf8'), text, path.replace(/^.*\/(config|docs)\//, '$1/'))
  }
})

t.test('every key of the schema has a description', async (t) => {
  const silent: string[] = []
  const walk = (node: unknown, path: string): void => {
    if (typeof node !== 'object' || node === null) return
    for (const [name, one] of Object.entries(propertiesOf(node))) {
      if (one.description === undefined) silent.push(`${path}.${name}`)
    }
    for (const [name, inner] of Object.entries(node)) walk(inner, `${path}/${name}`)
  }
  walk(JSON.parse(published()[0]?.text ?? ''), '')
  t.same(silent, [])
})

function propertiesOf(node: object): Record<string, { description?: string }> {
  const found = (node as { properties?: Record<string, { description?: string }> }).properties
  return found ?? {}
}
