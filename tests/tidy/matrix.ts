// Who may import whom: docs/ARCHITECTURE.md draws it, this table decides it.
// A room is named by the start of its path; the longest match counts. Tests and what only tests use
// may import anything. Used by tests/tidy.test.ts.
import { isTestSupport, lineAt, type SourceFile } from './text.ts'
import type { Offence } from './rules.ts'

/** Rooms, most particular first, each with the rooms it may import besides itself. */
const MATRIX: ReadonlyArray<readonly [room: string, mayImport: readonly string[]]> = [
  // Pure rooms and ports import nothing of ours.
  ['switch/codec/', []],
  ['switch/framing/', []],
  ['emv/', []],
  ['routing/', []],
  ['config/', []],
  ['hsm/port.ts', []],
  ['switch/journal/port.ts', []],
  ['switch/link/port.ts', []],
  ['switch/reasons.ts', []],
  ['switch/limits.ts', []],
  ['switch/secrets.ts', []],
  ['switch/meter-grid.ts', []],
  ['hsm/algorithms/', []],
  ['switch/runtime/', []],

  // One connection. The meaning of a dialect's fields is a type of the configuration.
  ['switch/link/', [
    'switch/link/port.ts', 'switch/framing/', 'switch/codec/', 'switch/runtime/',
    'config/meaning.ts',
  ]],
  ['config/meaning.ts', ['config/']],

  // The business procedure: ports, pure rooms, reasons.
  ['switch/pipeline/', [
    'hsm/port.ts', 'hsm/algorithms/cups-mac.ts', 'switch/journal/port.ts', 'switch/link/contract.ts',
    'switch/codec/', 'emv/', 'routing/', 'switch/runtime/', 'switch/reasons.ts',
    'switch/limits.ts', 'switch/secrets.ts', 'switch/pan-vault.ts', 'config/meaning.ts',
  ]],
  ['hsm/algorithms/cups-mac.ts', ['hsm/algorithms/']],
  ['switch/link/contract.ts', ['switch/framing/', 'switch/codec/', 'config/meaning.ts']],

  // Adapters know their port and the rules that they carry out.
  ['switch/journal/', [
    'switch/journal/port.ts', 'cards/', 'switch/runtime/', 'switch/reasons.ts', 'switch/secrets.ts',
  ]],
  ['cards/', ['switch/journal/port.ts', 'switch/reasons.ts']],
  ['hsm/verbs/', ['hsm/port.ts', 'hsm/algorithms/']],
  ['hsm/pkcs11/', ['hsm/port.ts', 'hsm/algorithms/', 'hsm/verbs/', 'switch/runtime/']],
  ['hsm/software/', ['hsm/port.ts', 'hsm/algorithms/', 'hsm/verbs/']],
  ['audit/', []],
  ['hsm/officers/', ['hsm/', 'audit/', 'switch/runtime/']],
  ['hsm/ceremony/', ['hsm/', 'audit/', 'switch/runtime/']],
  ['hsm/', ['hsm/port.ts', 'switch/runtime/']],
  ['switch/log/', ['switch/secrets.ts', 'switch/runtime/']],
  ['switch/meters.ts', ['switch/meter-grid.ts', 'switch/reasons.ts']],
  ['switch/pan-vault.ts', ['switch/runtime/', 'switch/secrets.ts']],
  ['switch/observation.ts', [
    'switch/pipeline/', 'switch/link/contract.ts', 'switch/reasons.ts', 'switch/log/',
    'switch/meters.ts',
  ]],

  // A peer that shares our logic shares our bugs: never link, pipeline, journal, cards.
  ['simulators/', [
    'switch/codec/', 'switch/framing/', 'emv/', 'hsm/port.ts', 'hsm/algorithms/', 'switch/runtime/',
    'switch/secrets.ts', 'config/',
  ]],

  // Wiring. Only the command that runs the switch imports main.ts. wiring.ts knows no adapter, so
  // that the simulation can wire the same pipeline on virtual ports.
  ['switch/wiring.ts', [
    'switch/pipeline/', 'switch/link/', 'switch/codec/', 'switch/framing/', 'switch/runtime/',
    'switch/journal/port.ts', 'switch/limits.ts', 'switch/pan-vault.ts', 'hsm/port.ts',
    'hsm/key-directory.ts', 'routing/', 'config/',
  ]],
  ['switch/main.ts', ['switch/', 'hsm/', 'emv/', 'routing/', 'cards/', 'config/', 'console/ops/']],
  ['console/commands/run.ts', ['switch/main.ts', 'console/', 'config/', 'switch/runtime/']],
  ['console/ops/', ['switch/runtime/']],
  // Prepares the demonstration: test cards go into the database as the switch itself stores them.
  ['console/start/', [
    'console/', 'switch/journal/', 'switch/runtime/', 'switch/pan-vault.ts', 'switch/secrets.ts',
    'switch/pipeline/calendar.ts', 'hsm/', 'cards/', 'config/', 'simulators/',
  ]],
  ['console/', [
    'switch/codec/', 'switch/framing/', 'switch/journal/', 'switch/runtime/', 'switch/secrets.ts',
    'switch/reasons.ts', 'emv/', 'hsm/', 'routing/', 'cards/', 'config/', 'simulators/', 'bench/',
    'audit/',
  ]],
  ['bench/', ['']],
  ['scripts/', []],
  ['bin/', ['console/main.ts']],
  ['tests/', ['']],
]

/** Files that nobody but the named ones may import. */
const PRIVATE: Readonly<Record<string, readonly string[]>> = {
  'switch/main.ts': ['console/commands/run.ts'],
}

const IMPORT = /\b(?:from|import)\s*\(?\s*(['"])/g

/** Imports that the matrix does not allow, imports of missing rooms, and imports without `.ts`. */
export function importOffences(file: SourceFile): Offence[] {
  const offences: Offence[] = []
  for (const { target, line } of importsOf(file)) {
    const why = refused(file.path, target)
    if (why !== '') offences.push({ path: file.path, line, rule: 'import', what: why })
  }
  return offences
}

/** Relative imports as paths from the root. */
function importsOf(file: SourceFile): { target: string; line: number }[] {
  const found: { target: string; line: number }[] = []
  for (const match of file.code.matchAll(IMPORT)) {
    const start = match.index + match[0].length
    const quote = match[1] ?? "'"
    // The scanner blanks what strings hold, not where they stand.
    const name = file.text.slice(start, file.text.indexOf(quote, start))
    if (!name.startsWith('.')) continue
    found.push({ target: resolved(file.path, name), line: lineAt(file.text, match.index) })
  }
  return found
}

function refused(from: string, target: string): string {
  if (!/\.(ts|json)$/.test(target)) return `${target} is imported without its extension`
  if (isTestSupport(from)) return ''
  if (isTestSupport(target)) return `${target} belongs to tests`
  const allowedFor = PRIVATE[target]
  if (allowedFor !== undefined && !allowedFor.includes(from)) return `nobody imports ${target}`
  const room = roomOf(from)
  if (room === undefined) return `${from} is in no room of tests/tidy/matrix.ts`
  const [name, mayImport] = room
  if (roomOf(target)?.[0] === name) return ''
  if (name.endsWith('/') && target.startsWith(name)) return '' // a file there with its own row
  if (mayImport.some((allowed) => target === allowed || isWithin(target, allowed))) return ''
  return `${name} may not import ${target}`
}

/** A folder in the list covers what lies in it, also where a file there has a row of its own. */
function isWithin(target: string, allowed: string): boolean {
  return allowed === '' || (allowed.endsWith('/') && target.startsWith(allowed))
}

function roomOf(path: string): (typeof MATRIX)[number] | undefined {
  let best: (typeof MATRIX)[number] | undefined
  for (const row of MATRIX) {
    const [room] = row
    const matches = room.endsWith('/') ? path.startsWith(room) : path === room
    if (matches && room.length > (best?.[0].length ?? 0)) best = row
  }
  return best
}

function resolved(from: string, name: string): string {
  const parts = from.split('/').slice(0, -1)
  for (const part of name.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '.') parts.push(part)
  }
  return parts.join('/')
}
