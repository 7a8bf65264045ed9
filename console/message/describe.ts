/**
 * `switchyard message describe` and `diff`: what a dialect says of its fields and messages, and in
 * what two dialects differ, field by field: the form in which a mandate release is reviewed.
 */
import { stdout } from 'node:process'
import {
  DialectFileError, dialectNames, loadableNames, loadDialect,
} from '../../config/dialects.ts'
import type { DialectFile, LoadedDialect } from '../../config/dialects.ts'
import { dialectDifference } from '../../config/difference.ts'
import type { Meaning } from '../../config/meaning.ts'
import { rulesOf } from '../../config/message-rules.ts'
import { mtiWords } from '../../config/mti.ts'
import { compileDialect } from '../../switch/codec/dialect.ts'
import { CommandFailed, EXIT, WrongUsage } from '../help.ts'
import { formatOf } from './annotate.ts'

export interface DescribeOptions {
  readonly dialect: string
  readonly dialects?: string
  readonly json?: boolean
}

export interface DiffOptions {
  readonly dialects?: string
  readonly json?: boolean
}

/**
 * The dialect of a name; throws WrongUsage when there is none, CommandFailed for a bad file.
 */
function dialectOf(name: string, directory: string | undefined): LoadedDialect {
  const directories = directory === undefined ? [] : [directory]
  if (!loadableNames(directories).includes(name)) {
    const names = dialectNames(directories)
    throw new WrongUsage(`unknown dialect '${name}'`, `one of: ${names.join(' ')}`)
  }
  try {
    const loaded = loadDialect(name, directories)
    compileDialect(loaded.spec)
    return loaded
  } catch (error) {
    if (error instanceof DialectFileError) {
      throw new CommandFailed(error.message, 'mend the dialect file')
    }
    throw error
  }
}

/** Prints the dialect, one of its fields (`48`) or one of its messages (`0200`). */
export function describe(subject: string | undefined, options: DescribeOptions): number {
  const { spec, meaning } = dialectOf(options.dialect, options.dialects)
  const described = subject === undefined ? wholeDialect(spec)
    : /^[0-9]{4}$/.test(subject) ? oneMessage(spec, meaning, subject)
    : oneField(spec, meaning, subject)
  if (options.json === true) stdout.write(`${JSON.stringify(described)}\n`)
  else stdout.write(`${asText(described).join('\n')}\n`)
  return EXIT.done
}

type Described = Readonly<Record<string, unknown>>

function wholeDialect(spec: DialectFile): Described {
  const rows = Object.entries(spec.fields).map(([number, field]) => {
    const secret = field.secret === undefined ? '' : ` [${field.secret}]`
    return [number, `${formatOf(field)} ${field.name}${secret}`]
  })
  return {
    dialect: spec.name,
    description: spec.description,
    ...(spec.extends === undefined ? {} : { extends: spec.extends }),
    mti: spec.mti.coding,
    bitmap: `${spec.bitmap.coding}, up to ${spec.bitmap.count}`,
    header: spec.header,
    defaults: spec.defaults,
    fields: Object.fromEntries(rows) as Record<string, string>,
  }
}

function oneField(spec: DialectFile, meaning: Meaning, subject: string): Described {
  const field = spec.fields[subject]
  if (field === undefined) {
    throw new WrongUsage(`${spec.name} has no field '${subject}'`,
      'give a number from 2 to 192, or an MTI')
  }
  const { parts, ...row } = field
  const values = Object.entries(meaning.values).filter(([key]) => key.split(':')[0] === subject)
  const counts = meaning.lengths[subject]?.counts
  return {
    dialect: spec.name,
    field: Number(subject),
    format: formatOf(field),
    ...row,
    ...(parts === undefined ? {} : { parts: Object.fromEntries(parts.map((part) =>
      [part.name, part.length])) }),
    ...(counts === undefined ? {} : { counts: counts.join(' ') }),
    ...Object.fromEntries(values.map(([key, list]) => {
      return [`values of ${key}${list.open ? ', open list' : ''}`, list.codes]
    })),
  }
}

/** What the dialect's meaning says of an MTI, as request or as answer. */
function oneMessage(spec: DialectFile, meaning: Meaning, mti: string): Described {
  const known = rulesOf(meaning, mti)
  if (known === null) {
    throw new CommandFailed(`${spec.name} says nothing of ${mti}`,
      `it knows ${Object.keys(meaning.requests).join(' ')}`)
  }
  const kinds = meaning.kinds.filter((row) => row.mti.includes(mti)).map((row) => row.kind)
  const head = {
    dialect: spec.name,
    mti,
    says: mtiWords(mti),
    ...(kinds.length === 0 ? {} : { kinds: [...new Set(kinds)].join(' ') }),
  }
  if (known.kind === 'reply') {
    const { echoed, echo } = known.rules
    return {
      ...head,
      answers: known.to,
      ...presence(spec, known.rules),
      ...listed(spec, 'comes_back_unchanged', echoed),
      ...listed(spec, 'our_answer_copies', echo),
    }
  }
  const { title, direction, cases } = known.rules
  const answer = meaning.replies[mti] ?? meaning.replies['other']
  return {
    ...head,
    ...(title === '' ? {} : { title }),
    direction,
    ...presence(spec, known.rules),
    ...Object.fromEntries(cases.map((one) => {
      return [`${one.name} (when ${one.when})`, presence(spec, one)]
    })),
    ...listed(spec, 'answer_echoes', answer?.echo ?? []),
  }
}

interface Presence {
  readonly mandatory: readonly number[]
  readonly conditional: Readonly<Record<string, string>>
  readonly forbidden: readonly number[]
}

/** Mandatory, conditional and forbidden fields by number; lists without fields are left out. */
function presence(spec: DialectFile, rules: Presence): Described {
  const when = Object.entries(rules.conditional).map(([field, text]) => {
    return [field, `${spec.fields[field]?.name ?? ''} when ${text}`]
  })
  return {
    ...listed(spec, 'mandatory', rules.mandatory),
    ...(when.length === 0 ? {} : { conditional: Object.fromEntries(when) as Described }),
    ...listed(spec, 'forbidden', rules.forbidden),
  }
}

function listed(spec: DialectFile, name: string, fields: readonly number[]): Described {
  if (fields.length === 0) return {}
  const rows = fields.map((field) => [field, spec.fields[field]?.name ?? ''])
  return { [name]: Object.fromEntries(rows) as Described }
}

function asText(record: Described, indent = ''): string[] {
  return Object.entries(record).flatMap(([name, value]) =>
    typeof value === 'object' && value !== null
      ? [`${indent}${name}:`, ...asText(value as Described, `${indent}  `)]
      : [`${indent}${name.padEnd(indent === '' ? 12 : 5)} ${String(value)}`])
}

export interface Difference {
  /** `fields.62.max`, `bitmap.count`. */
  readonly key: string
  readonly before: unknown
  readonly after: unknown
}

/**
 * How two specifications write differently, by key; names, descriptions and meaning are left out.
 */
export function differences(before: DialectFile, after: DialectFile): Difference[] {
  const out: Difference[] = []
  const { name: _n, description: _d, extends: _e, meaning: _m, ...left } = before
  const { name: _n2, description: _d2, extends: _e2, meaning: _m2, ...right } = after
  compare('', left, right, out)
  return out
}

function compare(key: string, before: unknown, after: unknown, out: Difference[]): void {
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
  if (isObject(before) && isObject(after)) {
    for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
      compare(key === '' ? name : `${key}.${name}`, before[name], after[name], out)
    }
  } else if (JSON.stringify(before) !== JSON.stringify(after)) out.push({ key, before, after })
}

/** Prints how `after` differs from `before`; a whole field that only one has is one line. */
export function diff(before: string, after: string, options: DiffOptions): number {
  const left = dialectOf(before, options.dialects)
  const right = dialectOf(after, options.dialects)
  const meant = dialectDifference(left, right).filter((one) => one.part === 'meaning')
  const found = [
    ...differences(left.spec, right.spec),
    ...meant.map((one): Difference => {
      const key = `meaning.${one.key}`
      return { key, before: one.before ?? undefined, after: one.after ?? undefined }
    }),
  ]
  if (options.json === true) {
    stdout.write(`${JSON.stringify({ before, after, differences: found })}\n`)
    return EXIT.done
  }
  const shown = (value: unknown): string =>
    (value === undefined ? '-' : typeof value === 'string' ? value : JSON.stringify(value))
  for (const one of found) {
    stdout.write(`${one.key.padEnd(28)} ${shown(one.before)} -> ${shown(one.after)}\n`)
  }
  stdout.write(`${found.length} differences from ${before} to ${after}\n`)
  return EXIT.done
}
