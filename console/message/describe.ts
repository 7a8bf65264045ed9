/**
 * `switchyard message describe` and `diff`: what a dialect says of its fields and messages, and in
 * what two dialects differ, field by field: the form in which a mandate release is reviewed.
 */
import { stdout } from 'node:process'
import { DialectFileError, dialectNames, loadDialectSpec } from '../../config/dialects.ts'
import type { DialectFile } from '../../config/dialects.ts'
import { parseMeaning } from '../../config/meaning.ts'
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
 * The specification of a name; throws WrongUsage when there is none, CommandFailed for a bad file.
 */
function specOf(name: string, directory: string | undefined): DialectFile {
  const directories = directory === undefined ? [] : [directory]
  const names = dialectNames(directories)
  if (!names.includes(name)) {
    throw new WrongUsage(`unknown dialect '${name}'`, `one of: ${names.join(' ')}`)
  }
  try {
    const spec = loadDialectSpec(name, directories)
    compileDialect(spec)
    return spec
  } catch (error) {
    if (error instanceof DialectFileError) {
      throw new CommandFailed(error.message, 'mend the dialect file')
    }
    throw error
  }
}

/** Prints the dialect, one of its fields (`48`) or one of its messages (`0200`). */
export function describe(subject: string | undefined, options: DescribeOptions): number {
  const spec = specOf(options.dialect, options.dialects)
  const described = subject === undefined ? wholeDialect(spec)
    : /^[0-9]{4}$/.test(subject) ? oneMessage(spec, subject) : oneField(spec, subject)
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

function oneField(spec: DialectFile, subject: string): Described {
  const field = spec.fields[subject]
  if (field === undefined) {
    throw new WrongUsage(`${spec.name} has no field '${subject}'`,
      'give a number from 2 to 192, or an MTI')
  }
  const { parts, ...row } = field
  return {
    dialect: spec.name,
    field: Number(subject),
    format: formatOf(field),
    ...row,
    ...(parts === undefined ? {} : { parts: Object.fromEntries(parts.map((part) =>
      [part.name, part.length])) }),
  }
}

/** What the dialect's meaning says of an MTI, as request or as answer. */
function oneMessage(spec: DialectFile, mti: string): Described {
  if (spec.meaning === undefined) {
    throw new CommandFailed(`${spec.name} says nothing of its messages yet`)
  }
  const meaning = parseMeaning(spec.name, spec.meaning)
  const request = meaning.requests[mti]
  const reply = meaning.replies[mti]
  if (request === undefined && reply === undefined) {
    throw new CommandFailed(`${spec.name} says nothing of ${mti}`,
      `it knows ${Object.keys(meaning.requests).join(' ')}`)
  }
  const kinds = meaning.kinds.filter((row) => row.mti.includes(mti)).map((row) => row.kind)
  const named = (fields: readonly number[]): Record<string, string> =>
    Object.fromEntries(fields.map((field) => [field, spec.fields[field]?.name ?? '']))
  return {
    dialect: spec.name,
    mti,
    ...(kinds.length === 0 ? {} : { kinds: [...new Set(kinds)].join(' ') }),
    ...(request === undefined ? {} : { mandatory: named(request.mandatory) }),
    ...(reply === undefined ? {} : { answer_echoes: named(reply.echo) }),
  }
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
 * What two specifications say differently, by key; names, descriptions and meaning are left out.
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
  const found = differences(specOf(before, options.dialects), specOf(after, options.dialects))
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
