/**
 * In what two dialects differ, field by field and message by message: the form in which a bank
 * reviews a mandate release or its own overlay.
 *
 * Used by `switchyard message diff`. Names, descriptions and `extends` are not compared: they say
 * where a dialect comes from, not what it does.
 */
import type { LoadedDialect } from './dialects.ts'

export interface DialectChange {
  /** `table` is what holds for the whole message: MTI, bitmap, header, defaults. */
  readonly part: 'table' | 'field' | 'meaning'
  /** The field a change of part `field` is about; null otherwise. */
  readonly field: number | null
  /** Where it stands: `max`, `defaults.n`, `requests.0200.mandatory`; empty for a whole field. */
  readonly key: string
  readonly kind: 'added' | 'removed' | 'changed'
  /** As text; null where the dialect says nothing. */
  readonly before: string | null
  readonly after: string | null
}

/** Every difference: the table first, then fields by number, then the meaning by key. */
export function dialectDifference(before: LoadedDialect, after: LoadedDialect): DialectChange[] {
  return [
    ...compare('table', null, '', tableOf(before), tableOf(after)),
    ...fieldChanges(before, after),
    ...compare('meaning', null, '', before.meaning, after.meaning),
  ]
}

function tableOf({ spec }: LoadedDialect): Record<string, unknown> {
  const { mti, bitmap, header, framing, defaults } = spec
  return { mti, bitmap, header, framing, defaults }
}

function fieldChanges(before: LoadedDialect, after: LoadedDialect): DialectChange[] {
  const numbers = new Set([...Object.keys(before.spec.fields), ...Object.keys(after.spec.fields)])
  const sorted = [...numbers].map(Number).sort((a, b) => a - b)
  return sorted.flatMap((field): DialectChange[] => {
    const left = before.spec.fields[field]
    const right = after.spec.fields[field]
    if (left !== undefined && right !== undefined) return compare('field', field, '', left, right)
    const kind = left === undefined ? 'added' : 'removed'
    return [{ part: 'field', field, key: '', kind, before: textOf(left), after: textOf(right) }]
  })
}

function compare(
  part: DialectChange['part'], field: number | null, key: string, before: unknown, after: unknown,
): DialectChange[] {
  if (isRecord(before) && isRecord(after)) {
    const names = new Set([...Object.keys(before), ...Object.keys(after)])
    return [...names].flatMap((name) => {
      const inner = key === '' ? name : `${key}.${name}`
      return compare(part, field, inner, before[name], after[name])
    })
  }
  const [left, right] = [textOf(before), textOf(after)]
  if (left === right) return []
  const kind = left === null ? 'added' : right === null ? 'removed' : 'changed'
  return [{ part, field, key, kind, before: left, after: right }]
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Values as a reader writes them: text as it is, the rest as JSON; null for nothing. */
function textOf(value: unknown): string | null {
  if (value === undefined) return null
  return typeof value === 'string' ? value : JSON.stringify(value)
}
