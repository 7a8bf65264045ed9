// What the code of this project must not contain, one rule per entry, each with a sample that
// breaks it and one that does not: a rule that cannot fail is noticed. The house rules themselves
// are in docs/HACKING.md. Used by tests/tidy.test.ts.
import { isTestSupport, lineAt, type SourceFile } from './text.ts'

/** One place that breaks a rule. */
export interface Offence {
  readonly path: string
  readonly line: number
  readonly rule: string
  readonly what: string
}

/** A rule, where it holds, and how to see it fail. */
export interface Rule {
  readonly name: string
  /** What to do instead, for the person who reads the failure. */
  readonly instead: string
  /** Finds offences as line and remark. */
  readonly find: (file: SourceFile) => readonly (readonly [line: number, what: string])[]
  /** Path and text that must be reported, and the same for one that must not. */
  readonly bad: readonly [path: string, text: string]
  readonly good: readonly [path: string, text: string]
}

/** Longest line; rows of tables and names of tests may be longer. */
const COLUMNS_MAX = 100
const FILE_LINES_MAX = 500
const TEST_FILE_LINES_MAX = 800
const FUNCTION_LINES_MAX = 70

type Found = (readonly [line: number, what: string])[]

const isScript = (path: string): boolean => /\.(ts|js|sh)$/.test(path) || path === '.ci/run'
const isProse = (path: string): boolean => /\.(md|ya?ml|sql|sh|ts|js)$/.test(path)

/** Every match of a pattern in the code (or comments) of files that `where` picks. */
function ban(
  pattern: RegExp,
  where: (path: string) => boolean,
  part: 'code' | 'comments' | 'text' = 'code',
): Rule['find'] {
  return (file) => {
    if (!where(file.path)) return []
    const found: Found = []
    for (const match of file[part].matchAll(new RegExp(pattern, 'gm'))) {
      found.push([lineAt(file[part], match.index), match[0].trim()])
    }
    return found
  }
}

/** Everywhere but in these folders, files and tests. */
function except(...allowed: readonly string[]): (path: string) => boolean {
  return (path) => !isTestSupport(path) && !allowed.some((start) => path.startsWith(start))
}

function everywhere(): boolean {
  return true
}

// Written in pieces, so that these very lines do not break the rules that they state.
const LATER = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].join('|')})\\b`)
const SILENCED = new RegExp('@ts-' + '(ignore|nocheck|expect-error)')
const MACHINE_PATH = new RegExp(
  ['/work', '/home/[a-z]+', '/Users', '/root/[a-z]+'].map((path) => `(?<![\\w.])${path}/`).join('|') +
    '|registry' + '\\.npmjs',
)

/** Files that may read a PAN, track or PIN block in clear. */
const REVEALING = [
  'switch/secrets.ts',
  'switch/pan-vault.ts',
  'switch/pipeline/read-request.ts',
  'switch/pipeline/items.ts',
  'switch/pipeline/steps/verify-pin.ts',
  'switch/pipeline/steps/make-arpc.ts',
  'switch/pipeline/steps/translate-pin.ts',
  'switch/pipeline/steps/verify-cryptogram.ts',
  'switch/pipeline/steps/choose-route.ts',
  'switch/pipeline/steps/check-format.ts',
]

export const RULES: readonly Rule[] = [
  {
    name: 'time and chance come through switch/runtime',
    instead: 'take a Clock or a Random (switch/runtime/clock.ts, random.ts)',
    find: ban(
      new RegExp(
        String.raw`(?<![.\w])(Date\.now\b|new Date\(\s*\)|set(Timeout|Interval)\s*\(|` +
          String.raw`Math\.random|process\.hrtime|performance\.now)`,
      ),
      except('switch/runtime/', 'bin/'),
    ),
    bad: ['switch/link/x.ts', 'const at = Date.now()'],
    good: ['switch/link/x.ts', '// not Date.now()\nsocket.setTimeout(1)\nnew Date(ms)'],
  },
  {
    name: 'sockets belong to the adapters of the Net port',
    instead: 'use switch/link/port.ts',
    find: (file) => {
      const allowed = except('switch/link/tcp.ts', 'simulators/transport.ts', 'console/')
      if (!allowed(file.path)) return []
      const imported = /from ['"](node:)?(net|tls|dgram|http|https|http2)['"]/g
      return [...file.text.matchAll(imported)].map((m) => [lineAt(file.text, m.index), m[0]])
    },
    bad: ['switch/pipeline/x.ts', "import net from 'node:net'"],
    good: ['switch/link/tcp.ts', "import net from 'node:net'"],
  },
  {
    name: 'the environment is read in config/load.ts only',
    instead: 'add the variable to config/load.ts and pass the value on',
    // hsm/pkcs11/environment.ts writes one variable that SoftHSM's C code reads.
    find: ban(
      /process\.env\b/,
      except('config/load.ts', 'config/dialects.ts', 'bin/', 'hsm/pkcs11/environment.ts'),
    ),
    bad: ['switch/x.ts', "const home = process.env['HOME']"],
    good: ['config/load.ts', "const home = process.env['HOME']"],
  },
  {
    name: 'no any',
    instead: 'say the type, or unknown',
    find: ban(/(?<![.\w$])any\b(?=\s*(\[\]|[,;)>|&=\]{}]|$))/, (path) => path.endsWith('.ts')),
    bad: ['switch/x.ts', 'function f(a: any): void {}'],
    good: ['switch/x.ts', "// any\nconst s = 'any'; const x = list.any; const anyLink = 1"],
  },
  {
    name: 'the compiler is not silenced',
    instead: 'make the types say what the code does',
    find: ban(SILENCED, everywhere, 'comments'),
    bad: ['switch/x.ts', '// @ts-' + 'ignore'],
    good: ['switch/x.ts', "const s = '@ts-' + 'ignore'"],
  },
  {
    name: 'no enum',
    instead: 'a union of words, or a const object',
    find: ban(/^\s*(export\s+)?(declare\s+)?(const\s+)?enum\s+\w/, everywhere),
    bad: ['switch/x.ts', 'export enum A { B }'],
    good: ['switch/x.ts', 'z.enum(A)\nconst enumValue = 1'],
  },
  {
    name: 'nothing is evaluated at run time',
    instead: 'write a table and a walker',
    find: ban(/\bnew Function\s*\(|(?<![.\w])eval\s*\(/, everywhere),
    bad: ['switch/x.ts', 'const f = new Function(text)'],
    good: ['switch/x.ts', 'const retrieval = evaluate(text)'],
  },
  {
    name: 'no test runs alone, and none is left out without a reason',
    instead: "remove .only, or give the reason: { skip: 'why' }",
    find: ban(/\.(only|skip|todo)\s*\(|\b(only|skip|todo):\s*true\b/, isTestSupport),
    bad: ['switch/x.test.ts', "t.test('a', { skip: true }, () => {})"],
    good: ['switch/x.test.ts', "t.test('a', { skip: 'needs root' }, () => {})"],
  },
  {
    name: 'nothing is put off in a comment',
    instead: 'do it, or open an issue',
    find: ban(LATER, isProse, 'comments'),
    bad: ['switch/x.ts', '// TO' + 'DO later'],
    good: ['switch/x.ts', '// todos are issues'],
  },
  {
    name: 'folders are named after the problem',
    instead: 'name the folder after what its files are about',
    find: (file) => {
      const bad = file.path.split('/').slice(0, -1)
      const names = bad.filter((n) => /^(utils?|commons?|helpers?|shared|src|libs?)$/.test(n))
      return names.map((n) => [1, `folder ${n}`])
    },
    bad: ['switch/utils/x.ts', ''],
    good: ['switch/codec/x.ts', ''],
  },
  {
    name: 'files are named in kebab-case',
    instead: 'rename it: words in lower case with hyphens',
    find: (file) => {
      const name = file.path.slice(file.path.lastIndexOf('/') + 1)
      const shown = /^(README|CHANGELOG|ARCHITECTURE|HACKING|SECURITY|CONTRIBUTING)\.md$|^LICENSE$/
      if (name.startsWith('.') || shown.test(name)) return []
      return /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)*$/.test(name) ? [] : [[1, name]]
    },
    bad: ['switch/binTable.ts', ''],
    good: ['switch/bin-table.test.ts', ''],
  },
  {
    name: 'types are not called Manager, Service, Helper or Impl',
    instead: 'name what it is or does',
    find: ban(/\b(class|interface|type)\s+\w*(Manager|Service|Helper|Utils?|Impl)\b/, everywhere),
    bad: ['switch/x.ts', 'class LinkManager {}'],
    good: ['switch/x.ts', 'class LinkManagement {}'],
  },
  {
    name: 'each file begins by saying what it is',
    instead: 'a head comment: what, who calls it, what it must never do',
    find: (file) => (isScript(file.path) ? headless(file) : []),
    bad: ['switch/x.ts', "import a from './a.ts'"],
    good: ['switch/x.ts', '// hot path\n// Cuts frames out of a stream; pure, called by links.\nlet a'],
  },
  {
    name: 'exported functions say what they do',
    instead: 'a comment above: what, units, errors, source',
    find: (file) => (file.path.endsWith('.ts') && !isTestSupport(file.path) ? silent(file) : []),
    bad: ['switch/x.ts', 'const a = 1\nexport function f(): void {}'],
    good: ['switch/a-b.ts', '/** It. */\nexport function f(): void {}\nexport function aB(): void {}'],
  },
  {
    name: `lines have at most ${COLUMNS_MAX} columns`,
    instead: 'break it; rows of tables and names of tests may be longer',
    find: (file) => (isScript(file.path) ? wide(file) : []),
    bad: ['switch/x.ts', `const a = ${'b + '.repeat(30)}c`],
    good: ['switch/x.ts', `  { name: '${'b'.repeat(120)}', hex: '00' },`],
  },
  {
    name: `files have at most ${FILE_LINES_MAX} lines, tests ${TEST_FILE_LINES_MAX}`,
    instead: 'split it where its subject changes',
    find: (file) => {
      const max = isTestSupport(file.path) ? TEST_FILE_LINES_MAX : FILE_LINES_MAX
      const count = file.lines.length - 1
      return isScript(file.path) && count > max ? [[max, `${count} lines`]] : []
    },
    bad: ['switch/x.ts', '\n'.repeat(501)],
    good: ['switch/x.test.ts', '\n'.repeat(501)],
  },
  {
    name: `functions have at most ${FUNCTION_LINES_MAX} lines`,
    instead: 'keep the branching, move plain work into a leaf',
    find: (file) => (file.path.endsWith('.ts') && !isTestSupport(file.path) ? long(file) : []),
    bad: ['switch/x.ts', `function f(): void {${'\n'.repeat(71)}}`],
    good: ['switch/x.ts', `class A {${'\n'.repeat(90)}}\nif (a) {${'\n'.repeat(71)}}`],
  },
  {
    name: 'a value that may be missing is checked, not asserted',
    instead: 'narrow it; `!` is for bytes whose index was checked: bytes[i]!',
    find: ban(/[\w$)]!(?=\s*[.;,)\]}[]|$)/, (path) => path.endsWith('.ts') && !isTestSupport(path)),
    bad: ['switch/x.ts', 'const a = map.get(b)!'],
    good: ['switch/x.ts', 'const a = bytes[i]!\nif (a !== b && !c) d()'],
  },
  {
    name: 'card data is seen in clear in few places',
    instead: 'pass the masked type on; or argue for a new place in REVEALING',
    // Simulators and commands play the outside: they hold only made-up cards of their own.
    find: ban(/\.reveal\s*\(/, except(...REVEALING, 'simulators/')),
    bad: ['switch/log/x.ts', 'line.pan = txn.pan.reveal()'],
    good: ['switch/pan-vault.ts', 'seal(pan.reveal())'],
  },
  {
    name: 'no machine path and no registry host',
    instead: 'a path relative to the checkout, or none',
    find: ban(MACHINE_PATH, (path) => path !== 'tests/tidy/rules.ts', 'text'),
    bad: ['docs/x.md', 'see /home' + '/somebody/switchyard'],
    good: ['docs/x.md', 'see /var/lib/switchyard and tests/home/x'],
  },
]

/** The first line that is not empty, `#!` or the hot-path mark must be a comment with words. */
function headless(file: SourceFile): Found {
  const lines = file.lines.filter((line) => line !== '' && !/^(#!|\/\/ hot path$)/.test(line))
  const head = lines.slice(0, 2).join(' ')
  const isComment = /^(\/\/|\/\*\*?|#)/.test(head)
  return isComment && head.replace(/[^A-Za-z]/g, '').length >= 20 ? [] : [[1, head.slice(0, 40)]]
}

/**
 * Exported functions without a comment on the line above. A class, a function named like its file
 * and a command's `register` have the file's head for that.
 */
function silent(file: SourceFile): Found {
  const found: Found = []
  const own = file.path.slice(file.path.lastIndexOf('/') + 1, -'.ts'.length)
  const kebab = (name: string): string => name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)
  file.lines.forEach((line, i) => {
    const match = /^export (?:async )?function\*? (\w+)/.exec(line)
    if (match === null || match[1] === 'register' || kebab(match[1] ?? '') === own) return
    const above = file.lines[i - 1] ?? ''
    if (!/\*\/\s*$|^\/\//.test(above)) found.push([i + 1, match[1] ?? ''])
  })
  return found
}

function wide(file: SourceFile): Found {
  const found: Found = []
  file.lines.forEach((line, i) => {
    if (line.length <= COLUMNS_MAX) return
    const text = line.trim()
    // Rows: an object, an array, a call of a row maker, a string or a key with a whole record.
    const isRow = /^(\{|\[|['"`]|\|)/.test(text) || /^[\w'"-]+: (\{|\[|['"`]).*[,}\]]$/.test(text)
    const isTestName =
      /^(await )?t\.(test|ok|equal|same|match|throws|rejects)\(/.test(text) ||
      (file.path.endsWith('.test.ts') && /^check\('.*=> \{$/.test(text))
    const hasAddress = /https?:\/\/\S{40}/.test(text)
    if (!isRow && !isTestName && !hasAddress) found.push([i + 1, `${line.length} columns`])
  })
  return found
}

/** Bodies of functions, methods and arrows, by counting braces in the code. */
function long(file: SourceFile): Found {
  const found: Found = []
  const open: number[] = []
  for (let i = 0; i < file.code.length; i++) {
    if (file.code[i] === '{') open.push(opensFunction(file.code, i) ? i : -1)
    if (file.code[i] !== '}') continue
    const start = open.pop() ?? -1
    if (start < 0) continue
    const line = lineAt(file.code, start)
    const count = lineAt(file.code, i) - line + 1
    if (count > FUNCTION_LINES_MAX) found.push([line, `${count} lines`])
  }
  return found
}

function opensFunction(code: string, brace: number): boolean {
  const before = code.slice(Math.max(0, brace - 300), brace).trimEnd()
  if (before.endsWith('=>')) return true
  const head = /\)(\s*:\s*[^;{}()=]+)?$/.exec(before)
  if (head === null) return false
  let depth = 0
  let i = head.index
  for (; i >= 0; i--) {
    if (before[i] === ')') depth++
    if (before[i] === '(' && --depth === 0) break
  }
  return !/\b(if|for|while|switch|catch|with)\s*(await\s*)?$/.test(before.slice(0, Math.max(0, i)))
}
