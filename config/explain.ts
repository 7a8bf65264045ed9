// Says in plain words what a value of the wrong form is and what to write instead.
// Called by config/load.ts with the validator's issues. The words for missing keys and unknown
// names come from the published JSON Schema, so that they cannot differ from it. It must never
// quote a value: a person may have put a secret in the wrong place.
import type { z } from 'zod'
import { configSchema, jsonSchema } from './schema.ts'
import type { Path } from './source.ts'

/** The part of JSON Schema that ours uses. */
interface SchemaNode {
  type?: string
  properties?: Record<string, SchemaNode>
  items?: SchemaNode
  oneOf?: SchemaNode[]
  anyOf?: SchemaNode[]
  const?: unknown
  enum?: unknown[]
  minimum?: number
  maximum?: number
  description?: string
}

export interface Explanation {
  path: Path
  at: 'key' | 'value'
  what: string
  todo: string
}

const root = jsonSchema() as SchemaNode

/** All mistakes of form in a configuration as it was read. */
export function explainShape(raw: unknown): Explanation[] {
  const result = configSchema.safeParse(raw)
  if (result.success) return []
  return result.error.issues.flatMap((issue) => explainIssue(issue, raw))
}

/** The name of `known` that looks most like `name`, or '' when none does. */
export function nearest(name: string, known: readonly string[]): string {
  let best = ''
  let least = Math.min(4, Math.ceil(name.length / 2) + 1)
  for (const candidate of known) {
    const steps = distance(name.toLowerCase(), candidate.toLowerCase())
    if (steps < least) {
      least = steps
      best = candidate
    }
  }
  return best
}

/** `, did you mean x?` or ''. */
export function suggestion(name: string, known: readonly string[]): string {
  const near = nearest(name, known)
  return near === '' ? '' : `; did you mean ${near}?`
}

/** A path as people write it: links[2].framing. */
export function pathText(path: Path): string {
  let out = ''
  for (const part of path) {
    out += typeof part === 'number' ? `[${part}]` : out === '' ? part : `.${part}`
  }
  return out
}

function explainIssue(issue: z.core.$ZodIssue, raw: unknown): Explanation[] {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)))
  const value = valueAt(raw, path)
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => unknownKey(path, key, raw))
  }
  const node = schemaAt(path, raw)
  const name = pathText(path)
  const make = (what: string, todo: string): Explanation => ({ path, at: 'value', what, todo })
  if (value === undefined) {
    const described = node?.description === undefined ? '' : ` (${node.description})`
    const form = node?.type === 'string' ? '' : `: ${expected(node)}`
    return [make(`${name} is missing`, `add it${described}${form}`)]
  }
  if (value === null) return [make(`${name} has no value`, `remove the key, or ${expected(node)}`)]
  switch (issue.code) {
    case 'invalid_type':
      return [make(`${name} is ${kindOf(value)}`, retype(value, node))]
    case 'too_big':
    case 'too_small':
      return [make(`${name} is out of range`, expected(node))]
    case 'invalid_value':
    case 'invalid_union':
      return [make(`${name} is not one of the known words`, choose(value, node))]
    default:
      return [make(`${name} does not have the right form`, `write ${issue.message}`)]
  }
}

function unknownKey(path: Path, key: string, raw: unknown): Explanation {
  const node = schemaAt(path, raw)
  const known = Object.keys(node?.properties ?? {})
  const present = Object.keys(valueAt(raw, path) as object)
  const near = nearest(key, known.filter((name) => !present.includes(name)))
  const elsewhere = near === '' ? otherRole(path, key) : ''
  const todo =
    near !== '' ? `did you mean ${near}?` : elsewhere !== '' ? elsewhere : 'remove it'
  return { path: [...path, key], at: 'key', what: `unknown key ${pathText([...path, key])}`, todo }
}

/** A key that only links of another role have. */
function otherRole(path: Path, key: string): string {
  if (path[0] !== 'links') return ''
  const owner = root.properties?.['links']?.items?.oneOf?.find((one) => one.properties?.[key])
  const role = owner?.properties?.['role']?.const
  return typeof role === 'string' ? `remove it: only links with role: ${role} have it` : ''
}

/** What to write, out of the schema. */
function expected(node: SchemaNode | undefined): string {
  const one = node?.anyOf?.find((part) => part.type !== 'null') ?? node
  if (one === undefined) return 'see docs/reference/configuration.md'
  const words = wordsOf(one)
  if (words.length > 0) return `write ${words.length === 1 ? '' : 'one of '}${words.join(', ')}`
  if (one.type === 'integer') return `write a whole number from ${one.minimum} to ${one.maximum}`
  if (one.type === 'boolean') return 'write true or false'
  if (one.type === 'string') return 'write text'
  if (one.type === 'array') return 'write a list'
  return 'write `key: value` lines, indented'
}

function retype(value: unknown, node: SchemaNode | undefined): string {
  const one = node?.anyOf?.find((part) => part.type !== 'null') ?? node
  if (one?.type === 'string' && typeof value === 'number') {
    return 'write it in quotes: digits that are a name keep their leading zeros only so'
  }
  if (one?.type === 'integer' && typeof value === 'string' && /^[0-9]+$/.test(value)) {
    return `${expected(node)}, without quotes`
  }
  return expected(node)
}

function choose(value: unknown, node: SchemaNode | undefined): string {
  const words = wordsOf(node?.anyOf?.find((part) => part.type !== 'null') ?? node ?? {})
  const near = typeof value === 'string' ? suggestion(value, words) : ''
  return `write ${words.length === 1 ? '' : 'one of '}${words.join(', ')}${near}`
}

function wordsOf(node: SchemaNode): string[] {
  if (node.enum !== undefined) return node.enum.map(String)
  if (node.const !== undefined) return [String(node.const)]
  return (node.oneOf ?? []).flatMap((one) => wordsOf(one.properties?.['role'] ?? {}))
}

/** The schema of a path; a link's is chosen by its role. */
function schemaAt(path: Path, raw: unknown): SchemaNode | undefined {
  let node: SchemaNode | undefined = root
  for (const [depth, part] of path.entries()) {
    node = typeof part === 'number' ? node?.items : node?.properties?.[part]
    if (node?.oneOf === undefined) continue
    const role = (valueAt(raw, path.slice(0, depth + 1)) as { role?: unknown } | null)?.role
    const chosen: SchemaNode | undefined = node.oneOf.find(
      (one) => one.properties?.['role']?.const === role,
    )
    if (chosen !== undefined) node = chosen
    else if (path[depth + 1] === 'role') return node
  }
  return node
}

function valueAt(raw: unknown, path: Path): unknown {
  let value: unknown = raw
  for (const part of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Record<string | number, unknown>)[part]
  }
  return value
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'string') return 'text'
  if (typeof value === 'number') return Number.isInteger(value) ? 'a number' : 'a fraction'
  return typeof value === 'boolean' ? 'true or false' : 'a section'
}

/** Edits (insert, remove, replace, swap of neighbours) from one word to another. */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const above = rows[i - 1] ?? []
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      let best = Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (above[j - 1] ?? 0) + same)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, (rows[i - 2]?.[j - 2] ?? 0) + 1)
      }
      row.push(best)
    }
    rows.push(row)
  }
  return rows[a.length]?.[b.length] ?? 0
}
