// The pages of `txn show` and `saf list`.
import t from 'tap'
import type { TxnHistory } from '../../switch/journal/port.ts'
import { renderSaf } from '../saf/list.ts'
import { money } from './money.ts'
import { maskedHistory, PAGE_COLUMNS, renderHistory } from './timeline.ts'

const RECEIVED = Date.UTC(2026, 10, 22, 14, 3, 7, 250)

const TIMED_OUT: TxnHistory = {
  facts: {
    id: '01JDB2Q0000000000000000000',
    businessKey: 'pos/10000001/000042',
    kind: 'purchase',
    sourceLink: 'pos',
    route: 'visa',
    mti: '0200',
    stan: '000042',
    rrn: '632600000017',
    terminalId: '10000001',
    merchantId: '123456789012345',
    panMasked: '400000******2113',
    amountMinor: 123_450,
    currency: '156',
    businessDate: '2026-11-22',
    receivedAt: RECEIVED,
  },
  state: 'timed_out',
  answer: {
    reason: 'timeout',
    authCode: '',
    settlementDate: '',
    networkRrn: '632600000017',
    iccHex: '',
    balanceMinor: null,
    balanceCurrency: '',
  },
  events: [
    { atMs: RECEIVED + 8_004, what: 'leg.timed_out', detail: 'visa' },
    { atMs: RECEIVED + 2, what: 'token.translate_pin', detail: 'ok 1.1 ms' },
    { atMs: RECEIVED + 4, what: 'leg.sent', detail: 'visa 0100 STAN 000917' },
    { atMs: RECEIVED, what: 'txn.received', detail: 'pos' },
    {
      atMs: RECEIVED + 4_000_000,
      what: 'answer.late',
      detail: `card 4000001000002113 ${'a long remark that has to be wrapped '.repeat(4)}`,
    },
  ],
  postings: [
    {
      debit: 'receivable:visa',
      credit: 'merchant:123456789012345',
      amountMinor: 123_450,
      currency: '156',
      businessDate: '2026-11-22',
      postedAt: RECEIVED + 5,
      reverses: true,
    },
  ],
  saf: [
    {
      id: '1',
      destination: 'visa',
      kind: 'reversal',
      state: 'queued',
      attempts: 2,
      lastAnswer: '',
      rrn: '632600000017',
      panMasked: '400000******2113',
      amountMinor: 123_450,
      currency: '156',
      queuedAt: RECEIVED + 8_004,
      nextAttemptAt: RECEIVED + 14_004,
    },
  ],
}

t.test('a page has facts, events in order of time, postings and stored messages', async (t) => {
  const text = renderHistory([TIMED_OUT])
  const lines = text.split('\n')
  t.equal(lines[0], 'RRN 632600000017  purchase, timed out')
  for (const part of [
    'received    2026-11-22 14:03:07.250Z, business date 2026-11-22',
    'terminal    10000001, merchant 123456789012345',
    'card        400000******2113',
    'amount      1,234.50 CNY',
    'answer      timeout',
    'receivable:visa -> merchant:123456789012345, reversed 2026-11-22',
    'reversal to visa, 2 attempts, next 2026-11-22 14:03:21.254Z',
  ]) {
    t.ok(text.replace(/ *\n {10,}/g, ' ').includes(part), part)
  }
  const order = ['txn.received', 'token.translate_pin', 'leg.sent', 'leg.timed_out', 'answer.late']
  const found = order.map((what) => lines.findIndex((line) => line.includes(what)))
  t.same(found, found.toSorted((a, b) => a - b))
  t.notOk(found.includes(-1))
  t.ok(text.includes('+8004 ms  leg.timed_out'))
  t.ok(text.includes('+1:06:40  answer.late'))
})

t.test('no line is wider than the page', async (t) => {
  for (const line of renderHistory([TIMED_OUT, TIMED_OUT]).split('\n')) {
    t.ok(line.length <= PAGE_COLUMNS, line)
  }
})

t.test('what looks like a PAN is masked wherever it came from', async (t) => {
  const careless = structuredClone(TIMED_OUT)
  careless.facts.panMasked = '4000001000002113'
  for (const text of [renderHistory([careless]), JSON.stringify(maskedHistory(careless))]) {
    t.notMatch(text, /4000001000002113/)
    t.match(text, /400000\*{6}2113/)
  }
})

t.test('a transaction of which only the row exists has a page too', async (t) => {
  const bare = { ...TIMED_OUT, answer: null, events: [], postings: [], saf: [] }
  t.match(renderHistory([bare]), /answer {6}none yet[\s\S]*nothing was recorded/)
})

t.test('amounts have the decimals of their currency', async (t) => {
  const rows: Array<[number, string, string]> = [
    [0, '156', '0.00 CNY'],
    [5, '840', '0.05 USD'],
    [-123_456_789, '978', '-1,234,567.89 EUR'],
    [1_500, '392', '1,500 JPY'],
    [1_500, '048', '1.500 BHD'],
    [1_500, '999', '1500 minor units of 999'],
  ]
  for (const [minor, currency, text] of rows) t.equal(money(minor, currency), text)
})

t.test('stored messages are a table; an empty store says so', async (t) => {
  t.equal(renderSaf([], 0), 'nothing is stored\n')
  const lines = renderSaf(TIMED_OUT.saf, RECEIVED + 10_004).split('\n')
  t.match(lines[0], /^queued +destination +kind +state +attempts/)
  t.match(lines[2], /^2 s ago +visa +reversal +queued +2 .* 1,234\.50 CNY +in 4 s$/)
})
