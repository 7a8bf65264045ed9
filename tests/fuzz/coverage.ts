/**
 * Which blocks of the watched files have run, from V8's own precise coverage.
 *
 * Used by the engine. It must be started before the watched files are imported: V8 counts blocks
 * only in functions that it compiles after that. Reading costs about two milliseconds, so the
 * engine reads once per batch and looks for the input only when a batch found something new.
 */
import { Session } from 'node:inspector'

interface Range {
  readonly startOffset: number
  readonly endOffset: number
  readonly count: number
}

interface Script {
  readonly url: string
  readonly functions: readonly { readonly ranges: readonly Range[] }[]
}

/** Part of a file that had not run before. */
export interface Block {
  readonly file: string
  readonly start: number
  readonly end: number
}

export class Coverage {
  readonly #session: Session
  readonly #root: string
  /** 1 where a character of a file has run. */
  readonly #ran: Map<string, Uint8Array>
  /** The innermost function that each character of a file belongs to: its place, from 1; 0 none. */
  readonly #owners: Map<string, Uint32Array>
  /** Functions with their ranges that were looked at already, by file. */
  readonly #seen: Map<string, Set<string>>

  /** Starts counting. `root`: address of the checkout, `file:///.../`. */
  constructor(root: string) {
    this.#root = root
    this.#ran = new Map()
    this.#owners = new Map()
    this.#seen = new Map()
    this.#session = new Session()
    this.#session.connect()
    this.#session.post('Profiler.enable')
    this.#session.post('Profiler.startPreciseCoverage', { callCount: false, detailed: true })
  }

  /** Forgets what has run, for the next target. */
  reset(): void {
    for (const script of this.#take()) {
      const file = this.#fileOf(script)
      // The first reading of a file names all its functions, later ones those that ran.
      if (file !== '' && !this.#owners.has(file)) this.#owners.set(file, ownersOf(script))
    }
    this.#ran.clear()
    this.#seen.clear()
  }

  /** Share of the functions' characters that ran, 0 to 1; -1 when nothing is watched. */
  share(covers: readonly string[]): number {
    let all = 0
    let ran = 0
    for (const [file, owners] of this.#owners) {
      if (!isCovered(file, covers)) continue
      const known = this.#ran.get(file)
      for (let at = 0; at < owners.length; at++) {
        if (owners[at]! <= 1) continue // the file itself, or nothing
        all++
        if (known?.[at] === 1) ran++
      }
    }
    return all === 0 ? -1 : ran / all
  }

  /** Blocks that ran since the last reading and never before, in files that begin with `covers`. */
  news(covers: readonly string[]): Block[] {
    const found: Block[] = []
    for (const script of this.#take()) {
      const file = this.#fileOf(script)
      if (isCovered(file, covers)) this.#compare(file, script, found)
    }
    return found
  }

  /** Marks blocks as known. */
  learn(blocks: readonly Block[]): void {
    for (const { file, start, end } of blocks) this.#known(file, end).fill(1, start, end)
  }

  stop(): void {
    this.#session.disconnect()
  }

  /** Path from the root; nothing for files of others. */
  #fileOf(script: Script): string {
    return script.url.startsWith(this.#root) ? script.url.slice(this.#root.length) : ''
  }

  #take(): readonly Script[] {
    let result: readonly Script[] = []
    // The session is of this very thread, so the answer comes before post() returns.
    this.#session.post('Profiler.takePreciseCoverage', (error, answer) => {
      if (error !== null) throw error
      result = answer.result
    })
    return result
  }

  #known(file: string, size: number): Uint8Array {
    const before = this.#ran.get(file)
    if (before !== undefined && before.length >= size) return before
    const grown = new Uint8Array(size)
    if (before !== undefined) grown.set(before)
    this.#ran.set(file, grown)
    return grown
  }

  #compare(file: string, script: Script, found: Block[]): void {
    const owners = this.#owners.get(file)
    if (owners === undefined) return
    const known = this.#known(file, owners.length)
    const seen = this.#seen.get(file) ?? new Set<string>()
    this.#seen.set(file, seen)
    for (const { ranges } of script.functions) {
      const whole = ranges[0]
      if (whole === undefined || whole.count === 0) continue
      const key = keyOf(ranges)
      if (seen.has(key)) continue
      const before = found.length
      blocksOf(ranges, owners, known, (start, end) => { found.push({ file, start, end }) })
      // What is new stays so until the engine learns it; what is not need not be looked at again.
      if (found.length === before) seen.add(key)
    }
  }
}

function keyOf(ranges: readonly Range[]): string {
  let key = ''
  for (const { startOffset, endOffset, count } of ranges) {
    key += `${startOffset}-${endOffset}${count > 0 ? '+' : ' '}`
  }
  return key
}

/** Stretches of one function that ran and were not known, functions in it left out. */
function blocksOf(
  ranges: readonly Range[], owners: Uint32Array, known: Uint8Array,
  tell: (start: number, end: number) => void,
): void {
  const whole = ranges[0]
  if (whole === undefined) return
  const { startOffset: first, endOffset: last } = whole
  const ran = new Uint8Array(last - first)
  // Outer ranges come before the ones in them, so the innermost word counts.
  for (const { startOffset, endOffset, count } of ranges) {
    ran.fill(count > 0 ? 1 : 0, startOffset - first, endOffset - first)
  }
  const isNew = (at: number): boolean =>
    at < last && ran[at - first] === 1 && known[at] === 0 && owners[at] === first + 1
  for (let at = first; at < last; at++) {
    if (!isNew(at)) continue
    const start = at
    while (isNew(at)) at++
    tell(start, at)
  }
}

/** Whether a path begins as one of `covers`; targets and tests are never what is looked at. */
function isCovered(file: string, covers: readonly string[]): boolean {
  return covers.some((start) => file === start ||
    (file.startsWith(start) && !/\.(fuzz|test|bench)\.ts$/.test(file)))
}

/** The innermost function of each character; the first function of a file is the file itself. */
function ownersOf(script: Script): Uint32Array {
  const owners = new Uint32Array(script.functions[0]?.ranges[0]?.endOffset ?? 0)
  for (const { ranges } of script.functions) {
    const body = ranges[0]
    if (body !== undefined) owners.fill(body.startOffset + 1, body.startOffset, body.endOffset)
  }
  return owners
}
