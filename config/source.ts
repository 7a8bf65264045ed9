// YAML texts of one configuration as one tree that still knows where each value stands.
// Called by config/load.ts, which reads the files. A directory's files are joined: each top-level
// key may be in one file only, but the lists of LIST_SECTIONS may go on in the next file.
// It must never read a file itself nor judge what values mean.
import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import type { Document, Node, Pair, YAMLMap } from 'yaml'
import { LIST_SECTIONS } from './schema.ts'

/** One mistake, as an editor or a person finds it; lines and columns count from 1. */
export interface Mistake {
  file: string
  line: number
  column: number
  path: string // e.g. links[2].framing; empty when it concerns the whole file
  what: string
  todo: string
}

export type Path = ReadonlyArray<string | number>

export interface SourceFile {
  name: string // as it is shown to people
  text: string
}

interface Parsed {
  readonly name: string
  readonly doc: Document
  readonly lines: LineCounter
}

/** A stretch of a joined list: elements from `start` on came from this file. */
interface Stretch {
  readonly file: Parsed
  readonly start: number
}

/** Aliases expanded while reading; a file that needs more is an attack on memory. */
const ALIASES_MAX = 100

/** The joined tree, and the way back from a path to file and line. */
export class Source {
  readonly mistakes: Mistake[] = []
  readonly raw: Record<string, unknown> = {}
  readonly #files: Parsed[] = []
  readonly #owners = new Map<string, Stretch[]>()

  /** @param files at least one; the first is where missing top-level keys are reported */
  constructor(files: readonly SourceFile[]) {
    for (const file of files) this.#add(file)
  }

  /**
   * Where a value stands.
   *
   * @param path from the root; a part that does not exist ends the walk at its parent
   * @param at 'key' points at the name of the last part instead of its value
   */
  locate(path: Path, at: 'key' | 'value' = 'value'): Pick<Mistake, 'file' | 'line' | 'column'> {
    const owner = this.#ownerOf(path)
    if (owner === undefined) return { file: this.#files[0]?.name ?? '', line: 1, column: 1 }
    const offset = offsetOf(owner.file.doc, owner.path, at)
    const { line, col } = owner.file.lines.linePos(offset)
    return { file: owner.file.name, line: Math.max(1, line), column: Math.max(1, col) }
  }

  #ownerOf(path: Path): { file: Parsed; path: Path } | undefined {
    const [top, index] = path
    const stretches = typeof top === 'string' ? this.#owners.get(top) : undefined
    const first = stretches?.[0]
    if (stretches === undefined || first === undefined) return undefined
    if (typeof index !== 'number') return { file: first.file, path }
    const stretch = stretches.findLast(({ start }) => start <= index) ?? first
    return { file: stretch.file, path: [path[0] ?? '', index - stretch.start, ...path.slice(2)] }
  }

  #add(file: SourceFile): void {
    const lines = new LineCounter()
    const doc = parseDocument(file.text, { lineCounter: lines, prettyErrors: false })
    const parsed: Parsed = { name: file.name, doc, lines }
    this.#files.push(parsed)
    for (const error of doc.errors) this.#wrongYaml(parsed, error.pos[0], error.code)
    if (doc.errors.length > 0 && !isMap(doc.contents)) return
    if (!isMap(doc.contents)) {
      const what = doc.contents === null ? 'is empty' : 'is not a list of `key: value` lines'
      this.#note(parsed, 0, what, 'start from config/examples/demonstration.yaml')
      return
    }
    const tree = this.#plain(parsed)
    for (const pair of doc.contents.items) this.#join(parsed, pair, tree)
  }

  #plain(file: Parsed): Record<string, unknown> {
    try {
      return file.doc.toJS({ maxAliasCount: ALIASES_MAX }) as Record<string, unknown>
    } catch {
      this.#note(file, 0, 'aliases cannot be expanded', 'write the values out')
      return {}
    }
  }

  #join(file: Parsed, pair: Pair, tree: Record<string, unknown>): void {
    const key = keyText(pair)
    const value = tree[key]
    const known = this.#owners.get(key)
    const offset = isNode(pair.key) ? (pair.key.range?.[0] ?? 0) : 0
    if (known === undefined) {
      this.#owners.set(key, [{ file, start: 0 }])
      this.raw[key] = value
      return
    }
    if (known[0]?.file === file) return // twice in one file: the parser has said so
    const list = this.raw[key]
    if (Array.isArray(list) && Array.isArray(value) && isListSection(key)) {
      known.push({ file, start: list.length })
      this.raw[key] = list.concat(value)
      return
    }
    const other = known[0]?.file.name ?? ''
    this.#note(file, offset, `${key} is also in ${other}`, 'keep it in one of the files', key)
  }

  #wrongYaml(file: Parsed, offset: number, code: string): void {
    const [what, todo] = YAML_MISTAKES[code] ?? YAML_OTHER
    this.#note(file, offset, what, todo)
  }

  #note(file: Parsed, offset: number, what: string, todo: string, path = ''): void {
    const { line, col } = file.lines.linePos(offset)
    const at = { line: Math.max(1, line), column: Math.max(1, col) }
    this.mistakes.push({ file: file.name, ...at, path, what, todo })
  }
}

/** What the parser's codes mean to a person; its own messages may quote the text. */
const YAML_MISTAKES: Readonly<Record<string, readonly [string, string]>> = {
  DUPLICATE_KEY: ['the same key stands here twice', 'keep one of the two'],
  TAB_AS_INDENT: ['a tab is used as indentation', 'indent with spaces'],
  BAD_INDENT: [
    'the indentation does not fit, or a bracket above is open',
    'align it with its neighbours, or close the bracket',
  ],
  MISSING_CHAR: ['a quote, bracket or comma is missing', 'close what was opened'],
  MULTIPLE_DOCS: ['there is a second document (---)', 'keep one document per file'],
  BLOCK_AS_IMPLICIT_KEY: ['a value stands where a key is expected', 'check colon and indentation'],
  UNEXPECTED_TOKEN: ['this does not belong here', 'check brackets, colon and indentation'],
}
const YAML_OTHER = ['this is not valid YAML', 'check quotes, colon and indentation'] as const

function isListSection(key: string): boolean {
  return LIST_SECTIONS.some((section) => section === key)
}

function keyText(pair: Pair): string {
  return isScalar(pair.key) ? String(pair.key.value) : ''
}

function pairOf(map: YAMLMap, key: string): Pair | undefined {
  return map.items.find((pair) => keyText(pair) === key)
}

/** Byte offset of the deepest part of `path` that exists. */
function offsetOf(doc: Document, path: Path, at: 'key' | 'value'): number {
  let node: unknown = doc.contents
  let offset = startOf(node)
  for (const [depth, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(doc)
    if (isMap(node)) {
      const pair = pairOf(node, String(part))
      if (pair === undefined) return offset
      const last = depth === path.length - 1
      offset = startOf(pair.key)
      if (last && at === 'key') return offset
      node = pair.value
      if (isScalar(node) && last) return startOf(node)
      if (isNode(node) && !isAlias(node) && !isBlockMap(node)) offset = startOf(node)
    } else if (isSeq(node) && typeof part === 'number' && node.items[part] !== undefined) {
      node = node.items[part]
      offset = startOf(node)
    } else {
      return offset
    }
  }
  return offset
}

/** A block map begins on the line after its key: the key is the better place to point at. */
function isBlockMap(node: Node): boolean {
  return isMap(node) && node.flow !== true
}

function startOf(node: unknown): number {
  return isNode(node) ? (node.range?.[0] ?? 0) : 0
}
