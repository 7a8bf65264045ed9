/**
 * Reads dialect files: one YAML per scheme and version, `extends:` lays a private overlay over
 * another dialect.
 *
 * Called at start and by commands; with config/load.ts the only reader of configuration files.
 * Every mistake is reported with file and line, unknown keys included. It never fills in what a
 * file leaves out. `meaning` replaces what the base means, `meaning_changes` changes single keys of
 * it; loadDialect checks the result, loadDialectSpec passes it on without looking at it.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { LineCounter, isMap, isNode, isScalar, parseDocument } from 'yaml'
import type { Document } from 'yaml'
import { z } from 'zod'
import { meaningSchema, type Meaning } from './meaning.ts'

const BUILT_IN = fileURLToPath(new URL('./dialects', import.meta.url))
/** Other forms of the built-in dialects, by name like any dialect but not listed among them. */
const VARIANTS = path.join(BUILT_IN, 'variants')
const NAME = /^[a-z0-9][a-z0-9-]*$/

const coding =
  z.enum(['ascii', 'ebcdic', 'bcd-left', 'bcd-right', 'binary', 'hex-ascii', 'hex-ebcdic'])
const lengthCoding = z.enum(['ascii', 'ebcdic', 'bcd', 'binary'])
const secret = z.enum(['no', 'pan', 'track', 'drop'])
const count = z.int().min(1).max(9999)

const position = z.strictObject({ name: z.string(), length: count, secret: secret.exactOptional() })

const field = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9_]*$/, 'must be snake_case'),
  kind: z.enum(['n', 'a', 'an', 'as', 'ns', 'ans', 'anp', 'z', 'b', 'x+n']),
  length: z.enum(['fixed', 'l', 'll', 'lll', 'llll']),
  max: count,
  min: z.int().min(0).max(9999).exactOptional(),
  coding: coding.exactOptional(),
  length_coding: lengthCoding.exactOptional(),
  length_unit: z.enum(['digits', 'bytes', 'bytes-or-digits']).exactOptional(),
  pad: z.enum(['0', 'f']).exactOptional(),
  secret: secret.exactOptional(),
  shape: z.enum([
    'ber-tlv', 'visa-datasets', 'visa-bitmap-8', 'visa-bitmap-3', 'cups-usage', 'cups-usages',
    'mastercard-elements', 'positions',
  ]).exactOptional(),
  parts: z.array(position).exactOptional(),
})

const defaults = z.strictObject({
  n: coding,
  n_variable: coding.exactOptional(),
  text: coding,
  z: coding,
  b: coding,
  b_variable: coding.exactOptional(),
  'x+n': coding,
  length: lengthCoding,
})

/**
 * Keys that every file may have; `fields` is checked row by row, because an overlay's rows are
 * partial.
 */
const file = z.strictObject({
  name: z.string().regex(NAME, 'must be lower case letters, digits and hyphens'),
  description: z.string(),
  extends: z.string().regex(NAME).exactOptional(),
  mti: z.strictObject({ coding: z.enum(['ascii', 'ebcdic', 'bcd']) }),
  bitmap: z.strictObject({
    coding: z.enum(['binary', 'hex-ascii', 'hex-ebcdic']),
    count: z.union([z.literal(1), z.literal(2), z.literal(3)]),
  }),
  header: z.enum(['none', 'visa']),
  framing: z.string().exactOptional(),
  defaults,
  fields: z.record(z.string().regex(/^([2-9]|[1-9][0-9]|1[0-8][0-9]|19[0-2])$/, 'must be 2 to 192'),
    field),
  meaning: z.unknown().exactOptional(),
})

/** The rows of a file by themselves, for the published schema; an overlay's rows are partial. */
export const dialectFileSchema = z.strictObject({
  ...file.shape,
  ...z.strictObject({ ...file.shape }).pick({
    description: true, mti: true, bitmap: true, header: true, defaults: true,
  }).partial().shape,
  fields: z.record(
    z.string().regex(/^([2-9]|[1-9][0-9]|1[0-8][0-9]|19[0-2])$/),
    field.partial().extend(overlayKeys(field.shape)).nullable(),
  ).exactOptional(),
  meaning: meaningSchema.exactOptional(),
  meaning_changes: z.record(z.string(), z.unknown()).exactOptional(),
})

/** In an overlay every key may be `null`, which takes it away. */
function overlayKeys(shape: Readonly<Record<string, z.ZodType>>): Record<string, z.ZodType> {
  return Object.fromEntries(
    Object.entries(shape).map(([key, type]) => [key, type.nullable().optional()]),
  )
}

export type DialectFile = z.infer<typeof file>

export interface DialectMistake {
  readonly file: string
  readonly line: number
  readonly text: string
}

/** Thrown with every mistake of a dialect file and of the files it extends. */
export class DialectFileError extends Error {
  readonly mistakes: readonly DialectMistake[]

  constructor(mistakes: readonly DialectMistake[]) {
    super(mistakes.map((one) => `${one.file}:${one.line}: ${one.text}`).join('\n'))
    this.name = 'DialectFileError'
    this.mistakes = mistakes
  }
}

interface Layer {
  readonly file: string
  readonly document: Document
  readonly lines: LineCounter
  readonly content: Readonly<Record<string, unknown>>
}

type Rows = Record<string, Record<string, unknown>>

/** Names of the dialects in `directories` and of the built-in ones, sorted. */
export function dialectNames(directories: readonly string[] = []): string[] {
  const names = new Set<string>()
  for (const directory of [...directories, BUILT_IN]) {
    for (const entry of existsSync(directory) ? readdirSync(directory) : []) {
      if (entry.endsWith('.yaml')) names.add(entry.slice(0, -5))
    }
  }
  return [...names].sort()
}

/** The same with the variants of the built-in dialects: every name that can be loaded. */
export function loadableNames(directories: readonly string[] = []): string[] {
  return [...new Set([...dialectNames(directories), ...dialectNames([VARIANTS])])].sort()
}

/**
 * The specification `name`, looked up in `directories` and then among the built-in ones, with its
 * `extends:` chain laid over each other. Throws DialectFileError with every mistake found.
 */
export function loadDialectSpec(name: string, directories: readonly string[] = []): DialectFile {
  return specOf(name, readLayers(name, searched(directories)))
}

export interface LoadedDialect {
  readonly spec: DialectFile
  readonly meaning: Meaning
}

/**
 * The specification and what its messages mean, both checked. Throws DialectFileError with every
 * mistake, its file and its line.
 */
export function loadDialect(name: string, directories: readonly string[] = []): LoadedDialect {
  const layers = readLayers(name, searched(directories))
  const spec = specOf(name, layers)
  const checked = meaningSchema.safeParse(spec.meaning ?? {})
  if (checked.success) return { spec, meaning: checked.data }
  throw new DialectFileError(checked.error.issues.map((issue) => {
    return locate(layers, { ...issue, path: ['meaning', ...issue.path] })
  }))
}

function searched(directories: readonly string[]): string[] {
  return [...directories, BUILT_IN, VARIANTS]
}

function specOf(name: string, layers: readonly Layer[]): DialectFile {
  const top = layers[0]!
  const rows: Rows = {}
  const merged: Record<string, unknown> = {}
  for (const layer of layers.toReversed()) {
    for (const [key, value] of Object.entries(layer.content)) {
      if (key === 'fields') overlayRows(rows, value)
      else if (key === 'meaning_changes') merged['meaning'] = changed(merged['meaning'], value)
      else if (isRecord(merged[key]) && isRecord(value) && key !== 'meaning') {
        merged[key] = { ...merged[key], ...value }
      }
      else merged[key] = value
    }
  }
  if (top.content['extends'] === undefined) delete merged['extends']
  else merged['extends'] = top.content['extends']
  merged['fields'] = rows
  const result = file.safeParse(merged)
  if (!result.success) {
    throw new DialectFileError(result.error.issues.map((issue) => locate(layers, issue)))
  }
  if (result.data.name !== name) {
    throw new DialectFileError([mistake(top, ['name'], `must be ${name}, as the file is named`)])
  }
  return result.data
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An overlay's row changes the keys it names; `null` takes a key, or the whole field, away. */
function overlayRows(rows: Rows, overlay: unknown): void {
  if (!isRecord(overlay)) return
  for (const [number, row] of Object.entries(overlay)) {
    if (row === null) delete rows[number]
    else if (isRecord(row)) {
      const merged =
        Object.entries({ ...rows[number], ...row }).filter(([, value]) => value !== null)
      rows[number] = Object.fromEntries(merged)
    } else rows[number] = row as Record<string, unknown>
  }
}

/** A copy with the keys that `changes` names; `null` takes one away, a list is replaced whole. */
function changed(base: unknown, changes: unknown): unknown {
  if (!isRecord(changes)) return changes
  const result: Record<string, unknown> = isRecord(base) ? { ...base } : {}
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) delete result[key]
    else result[key] = changed(result[key], value)
  }
  return result
}

/** The file and those it extends, the nearest first. */
function readLayers(name: string, directories: readonly string[]): Layer[] {
  const layers: Layer[] = []
  let wanted: string | undefined = name
  while (wanted !== undefined) {
    const found = findFile(wanted, directories, layers)
    const layer = readLayer(found)
    layers.push(layer)
    const base: unknown = layer.content['extends']
    wanted = typeof base === 'string' ? base : undefined
  }
  return layers
}

function findFile(name: string, directories: readonly string[], layers: readonly Layer[]): string {
  const from = layers.at(-1)
  const say = (text: string): DialectFileError =>
    new DialectFileError([from ? mistake(from, ['extends'], text) : { file: name, line: 0, text }])
  if (!NAME.test(name)) throw say(`${JSON.stringify(name)} is no name of a dialect`)
  // A bank's own visa.yaml may extend the built-in visa.yaml, so files already read are passed
  // over.
  const files = directories.map((directory) => path.join(directory, `${name}.yaml`))
  const found = files.find((one) => existsSync(one) && !layers.some((layer) => layer.file === one))
  if (found !== undefined) return found
  if (files.some((one) => existsSync(one))) throw say(`extends ${name} in a circle`)
  throw say(`unknown dialect ${name}; known: ${dialectNames(directories).join(' ')}`)
}

function readLayer(found: string): Layer {
  const lines = new LineCounter()
  const document =
    parseDocument(readFileSync(found, 'utf8'), { lineCounter: lines, uniqueKeys: true })
  if (document.errors.length > 0) {
    throw new DialectFileError(document.errors.map((error) => ({
      file: found, line: lines.linePos(error.pos[0]).line,
        text: error.message.split('\n')[0] ?? 'is no YAML',
    })))
  }
  const content: unknown = document.toJS()
  if (!isRecord(content)) {
    throw new DialectFileError([{ file: found, line: 1, text: 'is not a map of keys' }])
  }
  return { file: found, document, lines, content }
}

/** A mistake with the line of the innermost key of `keys` that the file has. */
function mistake(layer: Layer, keys: readonly PropertyKey[], text: string): DialectMistake {
  let line = 1
  for (let depth = keys.length; depth > 0; depth--) {
    const node = keyNode(layer, keys.slice(0, depth))
    if (node !== undefined) {
      line = layer.lines.linePos(node).line
      break
    }
  }
  return { file: layer.file, line, text }
}

/** Offset of the key at a path, undefined when the file does not have it. */
function keyNode(layer: Layer, keys: readonly PropertyKey[]): number | undefined {
  const map = mapByText(layer, keys.slice(0, -1))
  if (map === undefined) return undefined
  const pair =
    map.items.find((item) => isScalar(item.key) && String(item.key.value) === String(keys.at(-1)))
  return pair !== undefined && isNode(pair.key) ? pair.key.range?.[0] : undefined
}

/**
 * Follows a path comparing keys as text, because field numbers are numbers in YAML and text in the
 * schema.
 */
function mapByText(layer: Layer, keys: readonly PropertyKey[]) {
  let node: unknown = layer.document.contents
  for (const key of keys) {
    if (!isMap(node)) return undefined
    const pair =
      node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key))
    node = pair?.value
  }
  return isMap(node) ? node : undefined
}

function locate(layers: readonly Layer[], issue: z.core.$ZodIssue): DialectMistake {
  const at = issue.code === 'unrecognized_keys'
    ? [...issue.path, issue.keys[0] ?? '']
    : issue.path
  const text = issue.code === 'unrecognized_keys'
    ? `unknown key ${issue.keys.join(', ')}`
    : issue.message
  // What a layer says of the meaning stands under one of two keys.
  const spellings = at[0] === 'meaning' ? [['meaning_changes', ...at.slice(1)], at] : [at]
  for (let depth = at.length; depth > 1 || depth === at.length; depth--) {
    for (const layer of layers) {
      const keys = spellings.find((one) => keyNode(layer, one.slice(0, depth)) !== undefined)
      if (keys !== undefined) return mistake(layer, keys, `${keys.map(String).join('.')}: ${text}`)
    }
  }
  return mistake(layers[0]!, at, `${at.map(String).join('.')}: ${text}`)
}
