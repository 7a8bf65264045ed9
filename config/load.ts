// Reads the configuration: the only place that reads configuration files and the environment
// (dialect files: config/dialects.ts). Called by switch/main.ts, the supervisor and the commands.
// It reports every mistake with file and line; it must never print a value of the environment.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { z } from 'zod'
import { explainShape, pathText } from './explain.ts'
import { checkRules, type Draft, type Item } from './rules.ts'
import * as schema from './schema.ts'
import { Source, type Mistake, type Path, type SourceFile } from './source.ts'

export type { Mistake } from './source.ts'

const ROOM = dirname(fileURLToPath(import.meta.url))

/** A route file of half a million ranges is about 30 MB; more is a wrong file. */
const FILE_BYTES_MAX = 64 * 1024 * 1024

/** What the process was told from outside. Values may be secret: never print databaseUrl. */
export interface Environment {
  home: string // absolute; the data directory
  databaseUrl: string | null
  configPath: string // absolute; file or directory
}

/** A configuration that may be run. */
export interface Loaded {
  config: schema.SwitchConfig
  home: string
  databaseUrl: string | null
}

/** What a check found: a configuration exactly when there is no mistake. */
export interface Checked {
  config: schema.SwitchConfig | null
  mistakes: Mistake[]
  files: string[] // as shown to people
}

/** A configuration that cannot be used; the message has one line per mistake. */
export class ConfigError extends Error {
  readonly mistakes: readonly Mistake[]

  constructor(mistakes: readonly Mistake[]) {
    super(mistakes.map(mistakeLine).join('\n'))
    this.name = 'ConfigError'
    this.mistakes = mistakes
  }
}

/**
 * SWITCHYARD_HOME (default: .switchyard below the working directory), SWITCHYARD_DATABASE_URL
 * (default: none) and SWITCHYARD_CONFIG (default: the demonstration's file).
 *
 * @throws ConfigError when the database URL is not one of PostgreSQL
 */
export function environment(): Environment {
  const databaseUrl = process.env['SWITCHYARD_DATABASE_URL'] ?? ''
  if (databaseUrl !== '' && !/^postgres(ql)?:\/\/./.test(databaseUrl)) {
    const todo = 'write postgres://USER:PASSWORD@HOST:PORT/DATABASE, or unset it'
    throw new ConfigError([atFile('SWITCHYARD_DATABASE_URL', 'is not a PostgreSQL URL', todo)])
  }
  return {
    home: resolve(process.env['SWITCHYARD_HOME'] || '.switchyard'),
    databaseUrl: databaseUrl === '' ? null : databaseUrl,
    configPath: resolve(process.env['SWITCHYARD_CONFIG'] || demonstrationPath()),
  }
}

/**
 * SWITCHYARD_CRASH_AT, `name:nth`: where a test wants this process to die
 * (switch/runtime/crash-point.ts), or null.
 */
export function crashAt(): string | null {
  return process.env['SWITCHYARD_CRASH_AT'] || null
}

/** The environment of a child process: ours, with these set. */
export function childEnvironment(more: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  return { ...process.env, ...more }
}

/** The example that `npm start` runs. */
export function demonstrationPath(): string {
  return join(ROOM, 'examples', 'demonstration.yaml')
}

/**
 * Reads and checks a configuration.
 *
 * @param path a YAML file, or a directory whose *.yaml files together are one configuration
 * @throws ConfigError with all mistakes, each with file and line
 */
export function loadConfig(path: string): Loaded {
  const { config, mistakes } = checkConfig(path)
  if (config === null) throw new ConfigError(mistakes)
  const { home, databaseUrl } = environment()
  return { config, home, databaseUrl }
}

/** Checks a configuration without running it; reads no environment and never throws. */
export function checkConfig(path: string): Checked {
  const names = configFiles(path)
  if (names instanceof Error) {
    const todo = 'name a YAML file, or a directory with *.yaml files'
    return { config: null, mistakes: [atFile(path, names.message, todo)], files: [path] }
  }
  const files: SourceFile[] = []
  const mistakes: Mistake[] = []
  for (const name of names) {
    const text = readText(name)
    if (text instanceof Error) mistakes.push(atFile(shown(name), text.message, 'check the file'))
    else files.push({ name: shown(name), text })
  }
  const checked = checkTexts(files, dialectNames(), mistakes.length === 0)
  mistakes.push(...checked.mistakes)
  const config = mistakes.length === 0 ? checked.config : null
  return { config, mistakes, files: names.map(shown) }
}

/**
 * Checks texts as checkConfig does.
 *
 * @param files name and text of each file
 * @param dialects the dialects that exist
 * @param whole false when a file is missing: what the rules would say is then worth nothing
 */
export function checkTexts(
  files: readonly SourceFile[],
  dialects: readonly string[],
  whole = true,
): { config: schema.SwitchConfig | null; mistakes: Mistake[] } {
  if (files.length === 0) return { config: null, mistakes: [] }
  const source = new Source(files)
  const mistakes = [...source.mistakes]
  const broken = mistakes.length > 0 && Object.keys(source.raw).length === 0
  if (broken || !whole) return { config: null, mistakes }
  const note = (at: Path, from: 'key' | 'value', what: string, todo: string): void => {
    mistakes.push({ ...source.locate(at, from), path: pathText(at), what, todo })
  }
  for (const { path, at, what, todo } of explainShape(source.raw)) note(path, at, what, todo)
  const draft = draftOf(source.raw, dialects)
  checkRules(draft, (at, what, todo) => note(at, 'value', `${pathText(at)}: ${what}`, todo))
  mistakes.sort((a, b) => (a.file === b.file ? a.line - b.line : 0))
  const config = mistakes.length === 0 ? schema.configSchema.parse(source.raw) : null
  return { config, mistakes }
}

/** One mistake as one line: file:line: what; what to do. */
export function mistakeLine(mistake: Mistake): string {
  const place = mistake.line === 0 ? mistake.file : `${mistake.file}:${mistake.line}`
  return `${place}: ${mistake.what}; ${mistake.todo}`
}

/** Names of the dialects that exist, from the files beside this one. */
export function dialectNames(): string[] {
  const entries = readdirSync(join(ROOM, 'dialects'))
  return entries.filter((name) => name.endsWith('.yaml')).map((name) => basename(name, '.yaml'))
}

function draftOf(raw: Record<string, unknown>, dialects: readonly string[]): Draft {
  const one = <T>(form: z.ZodType<T>, value: unknown): T | null => {
    const result = form.safeParse(value)
    return result.success ? result.data : null
  }
  const { shape } = schema.configSchema
  const linkRoles = new Map<string, string>()
  for (const link of listOf(raw['links'])) {
    const { name, role } = (link ?? {}) as { name?: unknown; role?: unknown }
    if (typeof name === 'string') linkRoles.set(name, typeof role === 'string' ? role : '')
  }
  const issuers = items(schema.issuerSchema, 'issuers', raw)
  const routes = items(schema.routeSchema, 'routes', raw)
  return {
    links: items(schema.linkSchema, 'links', raw),
    terminals: items(schema.terminalSchema, 'terminals', raw),
    issuers,
    routes,
    cardsWhole:
      issuers.length === listOf(raw['issuers']).length &&
      routes.length === listOf(raw['routes']).length,
    demonstration: one(shape.demonstration, raw['demonstration']),
    timeZone: one(shape.time_zone, raw['time_zone']),
    operationsHttp: one(shape.operations_http, raw['operations_http']),
    token: one(shape.token, raw['token']),
    reversals: one(shape.reversals, raw['reversals']),
    linkRoles,
    dialects,
  }
}

function items<T>(shape: z.ZodType<T>, key: string, raw: Record<string, unknown>): Array<Item<T>> {
  return listOf(raw[key]).flatMap((element, i) => {
    const result = shape.safeParse(element)
    return result.success ? [{ at: [key, i], value: result.data }] : []
  })
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

/** The file itself, or the *.yaml files of a directory in order of name. */
function configFiles(path: string): string[] | Error {
  try {
    if (!statSync(path).isDirectory()) return [path]
    const names = readdirSync(path).filter((name) => /^[^.].*\.ya?ml$/.test(name))
    if (names.length === 0) return new Error('has no *.yaml file')
    return names.sort().map((name) => join(path, name))
  } catch (error) {
    return new Error(reasonOf(error))
  }
}

function readText(path: string): string | Error {
  try {
    if (statSync(path).size > FILE_BYTES_MAX) return new Error('is larger than 64 MiB')
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path))
  } catch (error) {
    return new Error(error instanceof TypeError ? 'is not UTF-8 text' : reasonOf(error))
  }
}

function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? ''
  const known: Readonly<Record<string, string>> = {
    ENOENT: 'does not exist',
    EACCES: 'cannot be read: permission denied',
    EISDIR: 'is a directory',
  }
  return known[code] ?? `cannot be read (${code})`
}

function atFile(file: string, what: string, todo: string): Mistake {
  return { file, line: 0, column: 0, path: '', what, todo }
}

/** The path as a person in the working directory would write it. */
function shown(path: string): string {
  const near = relative(process.cwd(), resolve(path))
  return near.startsWith('..') ? path : near
}
