// Fault rules at their bounds: what is read, what is refused, what matches.
import t from 'tap'

import {
  DELAY_MS_MAX,
  FaultRuleError,
  FaultRules,
  REPEAT_MAX,
  RULES_MAX,
  parseRule,
  parseRulesYaml,
} from './faults.ts'

const PAN = '4000001000002113'
const ask = (rules: FaultRules, amountMinor: number | null, mti = '0100', pan = PAN): string =>
  rules.decide({ mti, amountMinor, pan }).kind

void t.test('actions and their values are read', (test) => {
  const rows = [
    { name: 'plain answer', text: 'any:answer', want: { kind: 'answer' } },
    { name: 'decline with code', text: 'any:decline=51', want: { kind: 'decline', code: '51' } },
    { name: 'decline without code', text: 'any:decline', want: { kind: 'decline', code: '05' } },
    { name: 'delay', text: 'any:delay=2000', want: { kind: 'delay', ms: 2000 } },
    { name: 'longest delay', text: `any:delay=${DELAY_MS_MAX}`, want: { ms: DELAY_MS_MAX } },
    { name: 'late has a time of its own', text: 'any:late', want: { kind: 'late', ms: 15_000 } },
    { name: 'silent', text: 'amount=9100:silent', want: { kind: 'silent' } },
    { name: 'deaf', text: 'any:deaf', want: { kind: 'deaf' } },
    { name: 'repeat once', text: 'any:repeat', want: { kind: 'repeat', count: 1 } },
    { name: 'most repeats', text: `any:repeat=${REPEAT_MAX}`, want: { count: REPEAT_MAX } },
    { name: 'drop the line', text: 'any:drop', want: { kind: 'drop' } },
    { name: 'bad MAC with a hyphen', text: 'any:bad-mac', want: { kind: 'bad_mac' } },
  ]
  for (const row of rows) test.match(parseRule(row.text).action, row.want, row.name)
  test.end()
})

void t.test('a rule that makes no sense is refused with a reason', (test) => {
  const rows = [
    { name: 'no action', text: 'amount=9100', why: /no action/ },
    { name: 'unknown action', text: 'any:explode', why: /no action 'explode'/ },
    { name: 'unknown condition', text: 'stan=1:silent', why: /no condition 'stan'/ },
    { name: 'condition twice', text: 'nth=1,nth=2:silent', why: /twice/ },
    { name: 'amount with a point', text: 'amount=91.00:silent', why: /minor units/ },
    { name: 'amount range upside down', text: 'amount=2-1:silent', why: /upside down/ },
    { name: 'whole PAN', text: `pan=${PAN}:silent`, why: /pan is not of the right form/ },
    { name: 'MTI of three digits', text: 'mti=100:silent', why: /mti is not/ },
    { name: 'nth of zero', text: 'nth=0:silent', why: /nth is not/ },
    { name: 'delay above the bound', text: `any:delay=${DELAY_MS_MAX + 1}`, why: /from 1 to/ },
    { name: 'delay of nothing', text: 'any:delay=0', why: /from 1 to/ },
    { name: 'too many repeats', text: `any:repeat=${REPEAT_MAX + 1}`, why: /from 1 to/ },
    { name: 'code of one character', text: 'any:decline=5', why: /two characters/ },
    { name: 'value where none belongs', text: 'any:silent=5', why: /takes no value/ },
  ]
  for (const row of rows) {
    test.throws(() => parseRule(row.text), { name: 'FaultRuleError', message: row.why }, row.name)
  }
  test.end()
})

void t.test('all conditions of a rule must hold', (test) => {
  const rows = [
    { name: 'the amount itself', rule: 'amount=9100:silent', amount: 9_100, hit: true },
    { name: 'one less', rule: 'amount=9100:silent', amount: 9_099, hit: false },
    { name: 'one more', rule: 'amount=9100:silent', amount: 9_101, hit: false },
    { name: 'low end of a range', rule: 'amount=100-200:silent', amount: 100, hit: true },
    { name: 'high end of a range', rule: 'amount=100-200:silent', amount: 200, hit: true },
    { name: 'above a range', rule: 'amount=100-200:silent', amount: 201, hit: false },
    { name: 'no DE4 but an amount asked for', rule: 'amount=0:silent', amount: null, hit: false },
    { name: 'no DE4 and none asked for', rule: 'mti=0100:silent', amount: null, hit: true },
    { name: 'end of the PAN', rule: 'pan=2113:silent', amount: 1, hit: true },
    { name: 'another end', rule: 'pan=2114:silent', amount: 1, hit: false },
    { name: 'PAN right, MTI wrong', rule: 'pan=2113,mti=0420:silent', amount: 1, hit: false },
  ]
  for (const row of rows) {
    const kind = ask(new FaultRules([parseRule(row.rule)]), row.amount)
    test.equal(kind, row.hit ? 'silent' : 'answer', row.name)
  }
  test.end()
})

void t.test('nth counts messages that meet the other conditions, times bounds the uses', (test) => {
  const third = new FaultRules([parseRule('amount=5,nth=3:silent')])
  const seen = [5, 6, 5, 6, 5, 5].map((amount) => ask(third, amount))
  test.strictSame(seen, ['answer', 'answer', 'answer', 'answer', 'silent', 'answer'])
  const twice = new FaultRules([parseRule('any:silent')])
  twice.replace([parseRule('times=2:silent')])
  test.strictSame(
    [1, 1, 1].map((amount) => ask(twice, amount)),
    ['silent', 'silent', 'answer'],
  )
  test.end()
})

void t.test('the first rule decides; an added rule goes before the others', (test) => {
  const rules = new FaultRules([parseRule('any:silent')])
  test.equal(ask(rules, 1), 'silent')
  rules.add(parseRule('amount=1:drop'))
  test.equal(ask(rules, 1), 'drop')
  test.equal(ask(rules, 2), 'silent')
  rules.replace([])
  test.equal(ask(rules, 1), 'answer')
  test.end()
})

void t.test('a full list takes no more rules', (test) => {
  const many = Array.from({ length: RULES_MAX }, () => parseRule('any:silent'))
  const rules = new FaultRules(many)
  test.throws(() => rules.add(parseRule('any:drop')), FaultRuleError)
  test.throws(() => rules.replace([...many, parseRule('any:drop')]), FaultRuleError)
  test.equal(rules.list().length, RULES_MAX)
  test.end()
})

void t.test('YAML rules are text or mappings; an empty file has none', (test) => {
  const rules = parseRulesYaml(
    'rules:\n  - amount=9100:silent\n  - { pan: "4226", mti: "0100", do: decline=51 }\n',
  )
  test.match(rules, [
    { amountFrom: 9_100, action: { kind: 'silent' } },
    { panSuffix: '4226', mti: '0100', action: { kind: 'decline', code: '51' } },
  ])
  test.strictSame(parseRulesYaml(''), [])
  test.strictSame(parseRulesYaml('rules:\n'), [])
  test.throws(() => parseRulesYaml('rules: 5'), FaultRuleError)
  test.throws(() => parseRulesYaml('- [1, 2]'), FaultRuleError)
  test.end()
})
