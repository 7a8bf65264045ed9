/**
 * message validate as a process: real messages keep the rules, a broken one is told by field and
 * rule without its content, an answer is compared with its request.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { loadDialect } from '../../config/dialects.ts'
import { Checker } from './validate.ts'

const LAUNCHER = fileURLToPath(new URL('../../bin/switchyard.js', import.meta.url))
const VECTORS = readFileSync(new URL('../../tests/vectors/messages.jsonl', import.meta.url), 'utf8')
  .trim().split('\n')
  .map((line) => JSON.parse(line) as { id: string; dialect: string; framing: string; hex: string })

function validate(dialect: string, framing: string, input: string) {
  const words = ['message', 'validate', '--dialect', dialect, '--framing', framing]
  return spawnSync(process.execPath, [LAUNCHER, ...words], { input, encoding: 'utf8' })
}

t.test('the sample messages of a dialect are valid, the exit code is 0', async (t) => {
  for (const dialect of ['visa', 'cups']) {
    const list = VECTORS.filter((one) => one.dialect === dialect)
    const ran = validate(dialect, list[0]?.framing ?? 'none', list.map((one) => one.hex).join('\n'))
    t.equal(ran.status, 0, ran.stderr)
    const lines = ran.stdout.trim().split('\n').map((line) => JSON.parse(line) as object)
    t.equal(lines.length, list.length)
    for (const line of lines) t.match(line, { valid: true, findings: [] })
  }
})

t.test('a broken rule is told with field, name and rule, and the next line is read', async (t) => {
  // 0200 with fields 2, 3 and 11 only: most of what is mandatory is missing.
  const fields = Buffer.from('16' + '4761739001010119' + '000000' + '000001').toString('hex')
  const good = VECTORS.find((one) => one.id === 'H-10')?.hex ?? ''
  const ran = validate('cups', 'none', `303230306020000000000000${fields}\nzz\n${good}`)
  t.equal(ran.status, 1)
  const [first, second, third] = ran.stdout.trim().split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  t.match(first, { mti: '0200', valid: false })
  const name = 'transmission_date_and_time'
  const missing = JSON.stringify({ kind: 'missing', field: 7, rule: 'mandatory', name })
  t.match(JSON.stringify(first?.['findings']), missing)
  t.match(second, { error: { kind: 'input_not_hex' } })
  t.match(third, { valid: true })
  t.notMatch(ran.stdout, '4761739001010119')
})

t.test('an answer that changes what must come back is told, one without its request is not', async (t) => {
  const { spec, meaning } = loadDialect('iso87-ascii')
  const checker = new Checker(spec, meaning)
  const fields = {
    2: '4761739001010119', 3: '000000', 4: '000000000100', 7: '0318064539', 11: '000001',
    12: '144539', 13: '0318', 22: '012', 41: 'T0000001', 49: '156',
  }
  const answer = { ...fields, 38: '123456', 39: '00', 12: '144540' }
  t.same(checker.check({ mti: '0210', header: {}, fields: answer }).findings, [])
  t.equal(checker.check({ mti: '0200', header: {}, fields }).valid, true)
  const [finding] = checker.check({ mti: '0210', header: {}, fields: answer }).findings
  t.match(finding, { kind: 'not_echoed', field: 12, name: 'time_local_transaction' })
})
