// Polices the house rules: who imports whom, what must not be written, how long things may grow.
// A failure names file, line and rule, and what to do instead. The rules are in tests/tidy/.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { boundsOf, limitFiles, limitsPage } from '../scripts/publish-limits.ts'
import { importOffences } from './tidy/matrix.ts'
import { RULES } from './tidy/rules.ts'
import { readCheckout, sourceFile } from './tidy/text.ts'

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')
const files = readCheckout(root)

/** Offences as one readable text, the most telling form when a test prints it. */
function told(offences: readonly string[]): string {
  return offences.slice(0, 40).join('\n') + (offences.length > 40 ? '\n...' : '')
}

t.test('the checkout was read', async (t) => {
  for (const path of ['package.json', 'tests/tidy.test.ts', '.ci/run', 'scripts/setup.sh']) {
    t.ok(files.some((file) => file.path === path), path)
  }
  t.notOk(files.some((file) => file.path.includes('node_modules')))
})

t.test('imports keep to the matrix', async (t) => {
  const offences = files
    .filter(({ path }) => /\.[tj]s$/.test(path))
    .flatMap(importOffences)
    .map(({ path, line, what }) => `${path}:${line} ${what}`)
  t.equal(offences.length, 0, `${offences.length} offences\n${told(offences)}`)
})

for (const rule of RULES) {
  t.test(rule.name, async (t) => {
    const offences = files.flatMap((file) =>
      rule.find(file).map(([line, what]) => `${file.path}:${line} ${what}`),
    )
    t.equal(offences.length, 0, `${rule.instead}\n${told(offences)}`)
  })

  t.test(`${rule.name}: the rule itself finds its sample and spares the other`, async (t) => {
    const [bad, good] = [sourceFile(...rule.bad), sourceFile(...rule.good)]
    t.not(rule.find(bad).length, 0, 'found')
    t.same(rule.find(good), [], 'spared')
  })
}

const MATRIX_SAMPLES: readonly { name: string; path: string; text: string; refused: boolean }[] = [
  {
    name: 'codec and configuration do not know each other',
    path: 'switch/codec/walk.ts',
    text: "import { x } from '../../config/schema.ts'",
    refused: true,
  },
  {
    name: 'a simulator does not import the pipeline, not even as a type',
    path: 'simulators/scheme/visa.ts',
    text: "import type { Txn } from '../../switch/pipeline/txn.ts'",
    refused: true,
  },
  {
    name: 'nor lazily',
    path: 'simulators/scheme/visa.ts',
    text: "const m = await import('../../switch/pipeline/txn.ts')",
    refused: true,
  },
  {
    name: 'a step does not know an adapter',
    path: 'switch/pipeline/steps/x.ts',
    text: "import { p } from '../../journal/postgres.ts'",
    refused: true,
  },
  {
    name: 'a port imports nothing of ours',
    path: 'hsm/port.ts',
    text: "import { b } from './algorithms/bytes.ts'",
    refused: true,
  },
  {
    name: 'nobody imports main.ts',
    path: 'console/commands/start.ts',
    text: "import { main } from '../../switch/main.ts'",
    refused: true,
  },
  {
    name: 'production code does not import what belongs to tests',
    path: 'switch/link/link.ts',
    text: "import { a } from './test-link.ts'",
    refused: true,
  },
  {
    name: 'a new folder needs a row',
    path: 'gateway/x.ts',
    text: "import { a } from '../switch/reasons.ts'",
    refused: true,
  },
  {
    name: 'imports carry their extension',
    path: 'switch/codec/walk.ts',
    text: "import { a } from './view'",
    refused: true,
  },
  {
    name: 'an import in a comment or a string is none',
    path: 'switch/codec/walk.ts',
    text: "// import { a } from '../../config/x.ts'\nconst s = \"from '../../config/x.ts'\"",
    refused: false,
  },
  {
    name: 'a room imports itself, packages and Node',
    path: 'switch/codec/walk.ts',
    text: "import { a } from './view.ts'\nimport b from 'node:fs'\nimport c from 'yaml'",
    refused: false,
  },
  {
    name: 'a step takes a port, a reason and its context',
    path: 'switch/pipeline/steps/x.ts',
    text:
      "import type { Hsm } from '../../../hsm/port.ts'\nimport { R } from '../../reasons.ts'\n" +
      "import type { Step } from '../context.ts'",
    refused: false,
  },
  {
    name: 'a test imports what it needs',
    path: 'switch/codec/walk.test.ts',
    text: "import { a } from '../../config/dialects.ts'",
    refused: false,
  },
]

for (const { name, path, text, refused } of MATRIX_SAMPLES) {
  t.test(`matrix: ${name}`, async (t) => {
    t.equal(importOffences(sourceFile(path, text)).length > 0, refused)
  })
}

t.test('the scanner tells code from comments, strings, templates and regular expressions', async (t) => {
  const text = [
    "const a = 'x // no' // yes",
    'const b = `t ${c + "}"} /* no */` /* yes',
    'yes */ const d = /[/"]\\/\'/.test(e) ? 1 / 2 / 3 : 4',
  ].join('\n')
  const { code, comments } = sourceFile('x.ts', text)
  t.same(code.replace(/ +/g, ' ').split('\n').map((line) => line.trim()), [
    "const a = ' '",
    'const b = ` c + " "  `'.replace('  `', ' `'),
    'const d = .test(e) ? 1 / 2 / 3 : 4',
  ])
  t.same(comments.replace(/ +/g, ' ').split('\n').map((line) => line.trim()), [
    '// yes',
    '/* yes',
    'yes */',
  ])
})

t.test('every text file is free of the path of this checkout', async (t) => {
  // A root like /app or /src is a word that may stand anywhere; two steps are a machine's path.
  const tellsNothing = root.split('/').length < 3
  const naming = tellsNothing ? [] : files.filter(({ text }) => text.includes(`${root}/`))
  t.same(naming.map(({ path }) => path), [])
})

t.test('the lockfile has no address: every registry serves it', async (t) => {
  t.notMatch(readFileSync(join(root, 'package-lock.json'), 'utf8'), /"resolved"/)
})

t.test('every bound has a reason, and docs/reference/limits.md tells both', async (t) => {
  const page = limitsPage(root)
  const written = files.find(({ path }) => path === page.path)?.text
  t.equal(written, page.text, 'when not: node scripts/publish-limits.ts')
  const silent = limitFiles(root).flatMap((path) =>
    boundsOf(readFileSync(join(root, path), 'utf8'))
      .filter(({ reason }) => reason === '')
      .map(({ name }) => `${path} ${name}`),
  )
  t.same(silent, [])
})

t.test('bounds are read with the comment above, beside, or shared', async (t) => {
  const text = [
    '/** Reason one,',
    ' * over | two lines. */',
    'export const A_MAX = 1_000',
    'export const B_MS = 2',
    '',
    'export const C_MAX = 3 // beside',
    '',
    'export const D_MAX = A_MAX * 2',
  ].join('\n')
  t.same(boundsOf(text), [
    { name: 'A_MAX', value: '1 000', reason: 'Reason one, over \\| two lines.' },
    { name: 'B_MS', value: '2', reason: 'Reason one, over \\| two lines.' },
    { name: 'C_MAX', value: '3', reason: 'beside' },
    { name: 'D_MAX', value: 'A_MAX * 2', reason: '' },
  ])
})
