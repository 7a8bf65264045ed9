// Reads the checkout's text files and takes TypeScript apart into code and comments, so that a rule
// can look at one without being fooled by the other. Used by tests/tidy.test.ts only. It is a
// scanner, not a parser: enough to blank out strings, templates, regular expressions and comments.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** One file. `code` and `comments` have the text's own lines, with everything else blanked. */
export interface SourceFile {
  /** From the root, with forward slashes. */
  readonly path: string
  readonly text: string
  readonly lines: readonly string[]
  readonly code: string
  readonly comments: string
}

/** What .gitignore leaves out. Of hidden names only these few are the project's. */
const NOT_OURS = new Set(['node_modules', 'coverage'])
const HIDDEN_OURS = new Set(['.ci', '.gitignore', '.npmrc', '.taprc'])

/** Larger files are data. */
const TEXT_BYTES_MAX = 2_000_000

/**
 * All text files of the checkout. git is not asked: a copy without it, or one that git calls
 * dubious because of its owner, must be checked as well.
 */
export function readCheckout(root: string, below = ''): SourceFile[] {
  const found: SourceFile[] = []
  for (const entry of readdirSync(join(root, below), { withFileTypes: true })) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`
    if (NOT_OURS.has(entry.name) || entry.name.endsWith('.log')) continue
    if (entry.name.startsWith('.') && !HIDDEN_OURS.has(entry.name)) continue
    if (entry.isDirectory()) found.push(...readCheckout(root, path))
    else if (entry.isFile() && statSync(join(root, path)).size <= TEXT_BYTES_MAX) {
      const text = readFileSync(join(root, path), 'utf8')
      if (!text.includes('\0')) found.push(sourceFile(path, text))
    }
  }
  return found
}

/** A file out of its text; rules are tried on made-up ones. */
export function sourceFile(path: string, text: string): SourceFile {
  const isCode = /\.[cm]?[tj]s$/.test(path)
  const { code, comments } = isCode ? split(text) : { code: '', comments: text }
  return { path, text, lines: text.split('\n'), code, comments }
}

/** Used by tests only, under names that do not say so. */
const TEST_ONLY = new Set(['hsm/contract.ts', 'simulators/by-hand.ts'])

/** True for tests and for what only tests use. */
export function isTestSupport(path: string): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1)
  return (
    /\.(test|fuzz|bench)\.ts$/.test(name) ||
    /(^|-)tests?[-.]/.test(name) ||
    path.startsWith('tests/') ||
    TEST_ONLY.has(path)
  )
}

/** Number of the line (from 1) at an offset. */
export function lineAt(text: string, offset: number): number {
  let line = 1
  for (let i = text.indexOf('\n'); i !== -1 && i < offset; i = text.indexOf('\n', i + 1)) line++
  return line
}

type Mode = 'code' | 'line' | 'block' | "'" | '"' | '`' | 'regexp'

/** Where the scanner stands; `depths` counts braces inside each open `${`. */
interface Scan {
  readonly text: string
  readonly code: string[]
  readonly comments: string[]
  readonly depths: number[]
  mode: Mode
  inClass: boolean
}

function split(text: string): { code: string; comments: string } {
  const units = text.split('')
  const blank = (): string[] => units.map((c) => (c === '\n' ? '\n' : ' '))
  const scan: Scan = {
    text,
    code: blank(),
    comments: blank(),
    depths: [],
    mode: 'code',
    inClass: false,
  }
  for (let i = 0; i < units.length; i++) i += step(scan, units, i)
  return { code: scan.code.join(''), comments: scan.comments.join('') }
}

/** Handles one character. @returns how many more were taken */
function step(scan: Scan, units: string[], i: number): number {
  const c = units[i] ?? ''
  const next = units[i + 1] ?? ''
  if (scan.mode === 'code') return stepCode(scan, i, c, next)
  if (scan.mode === 'line' || scan.mode === 'block') {
    if (c !== '\n') scan.comments[i] = c
    if (scan.mode === 'line' && c === '\n') scan.mode = 'code'
    if (scan.mode === 'block' && c === '*' && next === '/') {
      scan.comments[i + 1] = '/'
      scan.mode = 'code'
      return 1
    }
    return 0
  }
  if (c === '\\') return 1
  if (scan.mode === 'regexp') return stepRegexp(scan, c)
  if (scan.mode === '`' && c === '$' && next === '{') {
    scan.depths.push(0)
    scan.mode = 'code'
    return 1
  }
  if (c === scan.mode || (c === '\n' && scan.mode !== '`')) {
    scan.code[i] = c
    scan.mode = 'code'
  }
  return 0
}

function stepRegexp(scan: Scan, c: string): number {
  if (c === '[') scan.inClass = true
  else if (c === ']') scan.inClass = false
  else if ((c === '/' && !scan.inClass) || c === '\n') scan.mode = 'code'
  return 0
}

function stepCode(scan: Scan, i: number, c: string, next: string): number {
  if (c === '/' && (next === '/' || next === '*')) {
    scan.comments[i] = c
    scan.comments[i + 1] = next
    scan.mode = next === '/' ? 'line' : 'block'
    return 1
  }
  if (c === '/' && beginsRegexp(scan.code, i)) {
    scan.mode = 'regexp'
    scan.inClass = false
    return 0
  }
  const depth = scan.depths.at(-1)
  if (depth !== undefined && (c === '{' || c === '}')) {
    if (c === '}' && depth === 0) {
      scan.depths.pop()
      scan.mode = '`'
      return 0
    }
    scan.depths[scan.depths.length - 1] = depth + (c === '{' ? 1 : -1)
  }
  if (c !== '\n') scan.code[i] = c
  if (c === "'" || c === '"' || c === '`') scan.mode = c
  return 0
}

/** A slash after a value divides; anywhere else it begins a regular expression. */
function beginsRegexp(code: string[], at: number): boolean {
  let i = at - 1
  while (i >= 0 && (code[i] === ' ' || code[i] === '\n')) i--
  if (i < 0) return true
  const before = code[i] ?? ''
  if (/[\w$)\]'"`}]/.test(before)) {
    return /\b(return|typeof|case|of|in)$/.test(code.slice(Math.max(0, i - 8), i + 1).join(''))
  }
  return true
}
