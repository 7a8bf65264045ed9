/**
 * Message rules: the real messages keep them, each kind of breach is found and names no content,
 * and every dialect's meaning names only fields that the dialect has.
 */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { holds, parseCondition, type ConditionMessage } from './conditions.ts'
import { dialectNames, loadDialect } from './dialects.ts'
import { checkMessage, rulesOf, unknownFields, type CheckedMessage } from './message-rules.ts'

interface Vector {
  id: string
  title: string
  source: string
  dialect: string
  mti: string
  fields: Record<string, string>
}

const VECTORS = readFileSync(new URL('../tests/vectors/messages.jsonl', import.meta.url), 'utf8')
  .trim().split('\n').map((line) => JSON.parse(line) as Vector)

function message(mti: string, fields: Readonly<Record<string, string>>): CheckedMessage {
  return {
    mti,
    has: (field) => fields[field] !== undefined,
    text: (field) => fields[field] ?? '',
    count: (field) => fields[field]?.length ?? 0,
  }
}

for (const vector of VECTORS) {
  t.test(`${vector.id} (${vector.title}) keeps the rules of ${vector.dialect}`, async (t) => {
    const { meaning } = loadDialect(vector.dialect)
    t.same(checkMessage(meaning, message(vector.mti, vector.fields)), [], vector.source)
  })
}

t.test('no dialect asks for a field that it does not have', async (t) => {
  for (const name of [...dialectNames(), 'mastercard-single']) {
    const { spec, meaning } = loadDialect(name)
    t.same(unknownFields(spec.fields, meaning), [], name)
  }
})

t.test('every dialect has rules for what it forwards, for its reversals and network messages', async (t) => {
  for (const name of dialectNames()) {
    const { meaning } = loadDialect(name)
    const { reversal, network, forward_mti: forward } = meaning
    const mtis = [
      ...Object.values(forward), ...(reversal ? [reversal.mti, reversal.repeat_mti] : []),
      ...(network ? network.accepted_mtis : []), ...meaning.kinds.flatMap((row) => row.mti),
    ]
    for (const mti of mtis) {
      const known = rulesOf(meaning, mti)
      // A repeat may be accepted without rules of its own.
      if (!/[135]$/.test(mti)) t.not(known, null, `${name} ${mti}`)
    }
  }
})

const PURCHASE = {
  2: '4761739001010119', 3: '000000', 4: '000000000100', 7: '0318064539', 11: '000001',
  12: '144539', 13: '0318', 18: '5411', 22: '012', 25: '00', 32: '10010001', 33: '10010001', 37: '607706000042',
  41: '10000001', 42: '123456789012345', 43: 'SHOP', 49: '156',
}

const BREACHES = [
  { name: 'a mandatory field that is not there', change: { 11: undefined }, want: 'missing 11 mandatory' },
  { name: 'a PIN entry mode without PIN block', change: { 22: '021', 35: '4=' }, want: 'missing 52 when pin' },
  { name: 'a PIN block without its control field', change: { 52: '00', 26: '12' }, want: 'missing 53 when field 52' },
  { name: 'a purchase without amount', change: { 4: undefined }, want: 'missing 4 when not amountless' },
  { name: 'an inquiry with an amount', change: { 3: '300000' }, want: 'forbidden 4 inquiry or verification: forbidden' },
  { name: 'a response code in a request', change: { 39: '00' }, want: 'forbidden 39 forbidden' },
  { name: 'a balance block cut short', change: { 54: '1'.repeat(19) }, want: 'length 54 counts 20, 40' },
]

for (const row of BREACHES) {
  t.test(`${row.name} is found`, async (t) => {
    const { meaning } = loadDialect('cups')
    const fields = Object.fromEntries(
      Object.entries({ ...PURCHASE, ...row.change }).filter(([, value]) => value !== undefined),
    ) as Record<string, string>
    const found = checkMessage(meaning, message('0200', fields))
    t.same(found.map((one) => `${one.kind} ${one.field} ${one.rule}`), [row.want])
    t.same(checkMessage(meaning, message('0200', PURCHASE)), [], 'without the breach all is well')
  })
}

t.test('an answer that changes what must come back is found', async (t) => {
  const { meaning } = loadDialect('cups')
  const answer = { ...PURCHASE, 15: '0318', 39: '00' } as Record<string, string>
  delete answer[22]
  const asked = message('0200', PURCHASE)
  t.same(checkMessage(meaning, message('0210', answer), asked), [])
  const found = checkMessage(meaning, message('0210', { ...answer, 11: '000002' }), asked)
  t.same(found, [{ kind: 'not_echoed', field: 11, rule: 'comes back as it was sent' }])
})

t.test('an MTI that the dialect does not speak is found', async (t) => {
  const { meaning } = loadDialect('cups')
  for (const mti of ['0700', '0710', '1200']) {
    t.equal(checkMessage(meaning, message(mti, {}))[0]?.kind, 'unknown_mti')
  }
})

t.test('conditions are read with not before and before or, and null is what cannot be told', async (t) => {
  const asked: ConditionMessage = message('0200', { 3: '300000', 22: '051' })
  const rows: ReadonlyArray<readonly [string, boolean | null]> = [
    ['field 3', true], ['not field 3', false], ['3:0-2 is 00 30', true], ['3 is 30', false],
    ['field 4 or field 22', true], ['field 3 and field 4', false],
    ['field 4 and field 5 or field 3', true], ['agreement', null], ['agreement and field 4', false],
    ['agreement or field 3', true], ['not agreement', null], ['request field 3', null],
    ['chip', true], ['not not chip', true],
  ]
  for (const [text, want] of rows) {
    t.equal(holds(parseCondition(text, { chip: '22:0-2 is 05' }), asked), want, text)
  }
})

t.test('a condition that cannot be read says which words', async (t) => {
  const wrong = ['', 'fild 3', 'field x', '3 is', 'field 3 and', 'no_such_name', '22:3-1 is 1']
  for (const text of wrong) {
    t.throws(() => parseCondition(text), /is no condition/, text)
  }
  t.throws(() => parseCondition('a', { a: 'b', b: 'not a' }), /refers to itself/)
})
