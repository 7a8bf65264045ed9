// Writes docs/reference/limits.md out of every limits.ts, so that page and code cannot drift.
// By hand after a change: node scripts/publish-limits.ts. tests/tidy.test.ts fails when it was
// forgotten, and when a bound has no reason beside it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** One bound as its file states it. */
export interface Bound {
  readonly name: string
  readonly value: string
  /** The comment above or beside it, on one line; empty when there is none. */
  readonly reason: string
}

/** Folders that are looked through; the other ones hold no code that runs in the switch. */
const ROOMS = ['switch', 'hsm', 'routing', 'emv', 'cards', 'console', 'simulators']

const PAGE = 'docs/reference/limits.md'

const HEAD = `# Bounds

Every queue, buffer, retry and wait of the switch has a bound, and every bound a reason. What an
operator sets is in [configuration.md](configuration.md); these are the bounds behind it.

<!-- Made by scripts/publish-limits.ts from the files named below; do not edit. -->
`

/** The page and where it belongs, from the root. */
export function limitsPage(root: string): { path: string; text: string } {
  const parts = limitFiles(root).map((path) => {
    const rows = boundsOf(readFileSync(join(root, path), 'utf8')).map(
      ({ name, value, reason }) => `| \`${name}\` | ${value} | ${reason} |`,
    )
    return `\n## ${path}\n\n| bound | value | reason |\n| --- | --- | --- |\n${rows.join('\n')}\n`
  })
  return { path: PAGE, text: HEAD + parts.join('') }
}

/** Paths of all limits.ts, in a fixed order. */
export function limitFiles(root: string): string[] {
  const below = (folder: string): string[] =>
    readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
      const path = `${folder}/${entry.name}`
      if (entry.isDirectory()) return below(path)
      return entry.name === 'limits.ts' ? [path] : []
    })
  const present = new Set(readdirSync(root))
  return ROOMS.filter((room) => present.has(room)).flatMap(below).sort()
}

/** The exported constants of a limits.ts; neighbours without an empty line share a reason. */
export function boundsOf(text: string): Bound[] {
  const bounds: Bound[] = []
  let comment = ''
  const pattern = /\/\*\*([\s\S]*?)\*\/|^export const ([A-Z0-9_]+) = ([^/\n]*)(?:\/\/(.*))?$|^$/gm
  for (const [whole, above, name, value, beside] of text.matchAll(pattern)) {
    if (above !== undefined) comment = plain(above)
    else if (whole === '') comment = ''
    else if (name !== undefined && value !== undefined) {
      const reason = beside === undefined ? comment : plain(beside)
      bounds.push({ name, value: value.trim().replace(/(?<=\d)_(?=\d)/g, ' '), reason })
    }
  }
  return bounds
}

/** A comment's words without its stars, safe in a table. */
function plain(comment: string): string {
  return comment
    .split('\n')
    .map((line) => line.replace(/^\s*\*?\s*/, ''))
    .join(' ')
    .replaceAll('|', '\\|')
    .trim()
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const { path, text } = limitsPage(root)
  writeFileSync(join(root, path), text)
  process.stdout.write(`${path}\n`)
}
