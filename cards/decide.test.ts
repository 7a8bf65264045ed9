// The issuer's decision as tables: one refusal per row, then which of two refusals wins, then
// effects.
import t from 'tap'
import type { Card } from '../switch/journal/port.ts'
import { isReason, REASON_NAMES } from '../switch/reasons.ts'
import { decide, directionOf } from './decide.ts'
import type { AccountView, DayUsage, DecisionInput } from './decide.ts'

const goodCard: Card = {
  panToken: Buffer.alloc(32, 1),
  accountId: '1',
  status: 'active',
  expiry: '2611',
  pvki: '1',
  pvv: '1234',
  pinOffset: '',
  pinTriesLeft: 3,
  panSequence: '01',
  keySet: 'demo.issuer',
  dailyLimitMinor: 50_000,
}
const goodInput: DecisionInput = {
  kind: 'purchase',
  amountMinor: 10_000,
  currency: '156',
  businessDate: '2026-11-30',
  expiry: '2611',
  pin: 'ok',
  cryptogram: 'ok',
  pinRequired: true,
  refusedReason: '',
}
const goodAccount: AccountView = { currency: '156', balanceMinor: 20_000, floorMinor: 0 }
const unused: DayUsage = { usedMinor: 0, usedCount: 0 }

interface Row {
  name: string
  want: string
  input?: Partial<DecisionInput>
  card?: Partial<Card> | null
  account?: Partial<AccountView>
  day?: DayUsage
  countMax?: number
  source: string
}

function decideRow(row: Row): ReturnType<typeof decide> {
  return decide(
    { ...goodInput, ...row.input },
    row.card === null ? null : { ...goodCard, ...row.card },
    row.card === null ? null : { ...goodAccount, ...row.account },
    row.day ?? unused,
    row.countMax ?? null,
  )
}

const ROWS: Row[] = [
  { name: 'everything in order', want: 'approved', source: 'behaviours.md 69' },
  { name: 'the last day of the card\'s month', want: 'approved', source: 'behaviours.md 82',
    input: { businessDate: '2026-11-30' } },
  { name: 'the day after', want: 'expired_card', source: 'behaviours.md 82',
    input: { businessDate: '2026-12-01' } },
  { name: 'the next year', want: 'expired_card', source: 'behaviours.md 82',
    input: { businessDate: '2027-01-01' } },
  { name: 'an expiry that is not the card\'s', want: 'expired_card', source: 'behaviours.md 55',
    input: { expiry: '2612' } },
  { name: 'no expiry in the message', want: 'approved', source: 'iso8583 DE14 is conditional',
    input: { expiry: '' } },
  { name: 'a reason found before', want: 'unknown_terminal', source: 'port.ts',
    input: { refusedReason: 'unknown_terminal' } },
  { name: 'not our card', want: 'no_such_card', source: 'behaviours.md 51', card: null },
  { name: 'lost', want: 'lost_card', source: 'behaviours.md 40', card: { status: 'lost' } },
  { name: 'stolen', want: 'stolen_card', source: 'behaviours.md 40', card: { status: 'stolen' } },
  { name: 'blocked', want: 'restricted_card', source: 'behaviours.md 40', card: { status: 'blocked' } },
  { name: 'closed', want: 'restricted_card', source: 'behaviours.md 40', card: { status: 'closed' } },
  { name: 'amount of nothing', want: 'invalid_amount', source: 'behaviours.md 54', input: { amountMinor: 0 } },
  { name: 'negative amount', want: 'invalid_amount', source: 'behaviours.md 54', input: { amountMinor: -1 } },
  { name: 'a fraction of a cent', want: 'invalid_amount', source: 'behaviours.md 54',
    input: { amountMinor: 0.5 } },
  { name: 'another currency than the account', want: 'invalid_amount', source: 'behaviours.md 54',
    input: { currency: '840' } },
  { name: 'bad cryptogram', want: 'bad_cryptogram', source: 'behaviours.md 62', input: { cryptogram: 'bad' } },
  { name: 'no cryptogram: magnetic stripe', want: 'approved', source: 'behaviours.md 63',
    input: { cryptogram: 'absent' } },
  { name: 'a cryptogram that could not be checked', want: 'malfunction', source: 'behaviours.md 62',
    input: { cryptogram: 'unverifiable' } },
  { name: 'no tries left, right PIN', want: 'pin_tries_exceeded', source: 'behaviours.md 61',
    card: { pinTriesLeft: 0 } },
  { name: 'no tries left, wrong PIN', want: 'pin_tries_exceeded', source: 'behaviours.md 61',
    card: { pinTriesLeft: 0 }, input: { pin: 'wrong' } },
  { name: 'no tries left, no PIN needed', want: 'approved', source: 'behaviours.md 61',
    card: { pinTriesLeft: 0 }, input: { pin: 'absent', pinRequired: false } },
  { name: 'wrong PIN', want: 'wrong_pin', source: 'behaviours.md 61', input: { pin: 'wrong' } },
  { name: 'the last try wrong', want: 'wrong_pin', source: 'behaviours.md 61',
    input: { pin: 'wrong' }, card: { pinTriesLeft: 1 } },
  { name: 'PIN missing', want: 'pin_required', source: 'port.ts pinRequired', input: { pin: 'absent' } },
  { name: 'PIN missing where none is needed', want: 'approved', source: 'port.ts pinRequired',
    input: { pin: 'absent', pinRequired: false } },
  { name: 'a PIN that could not be checked', want: 'malfunction', source: 'behaviours.md 58',
    input: { pin: 'unverifiable' } },
  { name: 'exactly the daily limit', want: 'approved', source: 'behaviours.md 70',
    day: { usedMinor: 40_000, usedCount: 4 } },
  { name: 'one cent over the daily limit', want: 'amount_limit', source: 'behaviours.md 70',
    day: { usedMinor: 40_001, usedCount: 4 } },
  { name: 'exactly the daily count', want: 'approved', source: 'behaviours.md 40',
    day: { usedMinor: 0, usedCount: 4 }, countMax: 5 },
  { name: 'one over the daily count', want: 'count_limit', source: 'behaviours.md 40',
    day: { usedMinor: 0, usedCount: 5 }, countMax: 5 },
  { name: 'exactly the balance', want: 'approved', source: 'behaviours.md 69', input: { amountMinor: 20_000 } },
  { name: 'one cent over the balance', want: 'insufficient_funds', source: 'behaviours.md 69',
    input: { amountMinor: 20_001 } },
  { name: 'into the overdraft', want: 'approved', source: 'behaviours.md 69',
    input: { amountMinor: 20_001 }, account: { floorMinor: -1 } },
  { name: 'a refund beyond the limit', want: 'approved', source: 'behaviours.md 70',
    input: { kind: 'refund', amountMinor: 90_000, pin: 'absent', pinRequired: false } },
  { name: 'an empty account asked for its balance', want: 'approved', source: 'behaviours.md 69',
    input: { kind: 'balance', amountMinor: 0, currency: '' }, account: { balanceMinor: 0 } },
]

t.test('one refusal at a time', async (t) => {
  for (const row of ROWS) {
    const { reason, approved } = decideRow(row)
    t.equal(reason, row.want, row.name)
    t.equal(approved, row.want === 'approved', row.name)
    t.ok(isReason(reason), `${reason} is a reason of reasons.ts`)
  }
})

t.test('of two refusals the one earlier in reasons.ts is answered', async (t) => {
  const refused = ROWS.filter((row) => row.want !== 'approved' && row.card !== null)
  const rank = (reason: string): number => (REASON_NAMES as string[]).indexOf(reason)
  let pairs = 0
  for (const one of refused) {
    for (const two of refused) {
      const both: Row = {
        name: `${one.name} and ${two.name}`,
        want: rank(one.want) < rank(two.want) ? one.want : two.want,
        input: { ...one.input, ...two.input },
        card: { ...one.card, ...two.card },
        day: { usedMinor: 0, usedCount: 0, ...one.day, ...two.day },
        source: 'reasons.ts',
      }
      if (overlaps(one, two)) continue
      const countMax = one.countMax ?? two.countMax
      if (countMax !== undefined) both.countMax = countMax
      pairs += 1
      // A reason found before the authorizer was ranked by whoever found it.
      const ranked = [one, two].find((row) => row.input?.refusedReason !== undefined)
      const want = ranked?.want ?? both.want
      t.equal(decideRow(both).reason, want, both.name)
    }
  }
  t.ok(pairs > 200, `${pairs} pairs`)
})

/** True when the rows set one field to two values, so that both cannot hold. */
function overlaps(one: Row, two: Row): boolean {
  const keys = (row: Row): string[] => [
    ...Object.keys(row.input ?? {}),
    ...Object.keys(row.card ?? {}),
    ...Object.keys(row.account ?? {}),
    ...Object.keys(row.day ?? {}),
  ]
  const mine = new Set(keys(one))
  return keys(two).some((key) => mine.has(key))
}

const EFFECTS: Array<Row & { tries: number | null; consumed: number }> = [
  { name: 'an approved debit takes from the limit', want: 'approved', tries: null, consumed: 10_000,
    source: 'behaviours.md 70' },
  { name: 'a right PIN restores the tries', want: 'approved', card: { pinTriesLeft: 1 }, tries: 3,
    consumed: 10_000, source: 'behaviours.md 61' },
  { name: 'a right PIN restores the tries even when the money is short', want: 'insufficient_funds',
    card: { pinTriesLeft: 1 }, input: { amountMinor: 20_001 }, tries: 3, consumed: 0,
    source: 'behaviours.md 61' },
  { name: 'a wrong PIN costs a try', want: 'wrong_pin', input: { pin: 'wrong' }, tries: 2, consumed: 0,
    source: 'behaviours.md 61' },
  { name: 'a wrong PIN on a lost card costs nothing and tells nothing', want: 'lost_card',
    input: { pin: 'wrong' }, card: { status: 'lost' }, tries: null, consumed: 0,
    source: 'decide.ts' },
  { name: 'a wrong PIN costs a try even when nothing else could be checked', want: 'wrong_pin',
    input: { pin: 'wrong', cryptogram: 'unverifiable' }, tries: 2, consumed: 0,
    source: 'decide.ts' },
  { name: 'no tries left stay none', want: 'pin_tries_exceeded', card: { pinTriesLeft: 0 }, tries: null,
    consumed: 0, source: 'behaviours.md 61' },
  { name: 'a PIN that could not be checked costs nothing', want: 'malfunction',
    input: { pin: 'unverifiable' }, card: { pinTriesLeft: 2 }, tries: null, consumed: 0,
    source: 'behaviours.md 58' },
  { name: 'a refund takes nothing from the limit', want: 'approved', input: { kind: 'refund' },
    tries: null, consumed: 0, source: 'behaviours.md 70' },
]

t.test('effects on tries and limit', async (t) => {
  for (const row of EFFECTS) {
    const decision = decideRow(row)
    t.match(
      decision,
      { reason: row.want, pinTriesLeft: row.tries, consumedMinor: row.consumed },
      row.name,
    )
  }
})

t.test('available is what can be spent, overdraft included', async (t) => {
  const account = { balanceMinor: 500, floorMinor: -200 }
  const row: Row = { name: '', want: '', account, source: '' }
  t.equal(decideRow(row).availableMinor, 700)
  t.equal(decideRow({ ...row, card: null }).availableMinor, null)
})

t.test('every kind has its direction', async (t) => {
  t.same(
    (['purchase', 'cash', 'preauth', 'completion', 'transfer'] as const).map(directionOf),
    ['debit', 'debit', 'debit', 'debit', 'debit'],
  )
  t.same((['refund', 'void', 'deposit'] as const).map(directionOf), ['credit', 'credit', 'credit'])
  t.equal(directionOf('balance'), 'none')
})
