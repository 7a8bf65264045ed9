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

t.test('describe tells of a request and of its answer what must, may and must not be there', async (t) => {
  const describe = (...words: string[]) => {
    const all = ['message', 'describe', '--json', ...words]
    const ran = spawnSync(process.execPath, [LAUNCHER, ...all], { encoding: 'utf8' })
    return JSON.parse(ran.stdout) as object
  }
  t.match(describe('--dialect', 'cups', '0200'), {
    says: 'financial request, acquirer (1987)',
    mandatory: { 2: 'primary_account_number' },
    conditional: { 52: 'pin_data when pin' },
    forbidden: { 39: 'response_code' },
    answer_echoes: { 60: 'reserved_private' },
  })
  t.match(describe('--dialect', 'cups', '0210'), {
    answers: '0200', mandatory: { 39: 'response_code' }, comes_back_unchanged: { 11: /trace/ },
  })
  t.match(describe('--dialect', 'visa', '61'), { counts: '12 24 36' })
  t.match(describe('--dialect', 'mastercard-single', '0200'), { title: 'financial request' })
})

t.test('diff tells what two dialects mean differently, too', async (t) => {
  const words = ['message', 'diff', 'mastercard', 'mastercard-single']
  const ran = spawnSync(process.execPath, [LAUNCHER, ...words], { encoding: 'utf8' })
  t.match(ran.stdout, /meaning\.forward_mti\.purchase +0100 -> 0200/)
})
