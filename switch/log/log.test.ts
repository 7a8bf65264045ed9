// The log writes what it may and nothing else, whatever it is given.
import t from 'tap'
import { VirtualClock } from '../runtime/virtual-clock.ts'
import { Pan } from '../secrets.ts'
import { Log, scrubbed, type TxnLine } from './log.ts'

// A synthetic number with a right check digit (ISO/IEC 7812-1 Annex B), no issuer's.
const PAN = '4999990000000005'

function opened(level: 'debug' | 'info' | 'warn' | 'error' = 'info'): [Log, string[]] {
  const lines: string[] = []
  const sink = { write: (line: string) => void lines.push(line) }
  const clock = new VirtualClock(Date.UTC(2026, 1, 28, 23, 59, 59, 7))
  return [new Log({ level, node: 'one', clock, sink }), lines]
}

const TXN: TxnLine = {
  id: '01ARYZ6S410000000000000000',
  link: 'pos',
  direction: 'in',
  mti: '0200',
  stan: '000123',
  rrn: '605500000123',
  kind: 'purchase',
  pan: new Pan(PAN),
  cardRef: 'a1b2c3d4',
  route: 'on_us',
  attempt: 1,
  rc: '00',
  reason: 'approved',
  amountMinor: 1999,
  currency: '156',
  durationUs: 5123,
  stepsUs: { verify_pin: 210 },
}

t.test('a finished transaction is one line with the fixed fields', async (t) => {
  const [log, lines] = opened()
  log.txnCompleted(TXN)
  t.equal(lines.length, 1)
  const line = JSON.parse(lines[0] ?? '') as Record<string, unknown>
  t.same(Object.keys(line), [
    'level', 'ts', 'node', 'event', 'txn', 'link', 'direction', 'mti', 'stan', 'rrn', 'kind',
    'pan_masked', 'card_ref', 'route', 'attempt', 'rc', 'reason', 'amount_minor', 'currency',
    'duration_us', 'steps_us',
  ])
  t.match(line, {
    level: 'info',
    ts: '2026-02-28T23:59:59.007Z',
    node: 'one',
    event: 'txn.completed',
    pan_masked: '499999******0005',
    amount_minor: 1999,
    steps_us: { verify_pin: 210 },
  })
})

t.test('fields that are not on the list are not written', async (t) => {
  const [log, lines] = opened()
  log.txnCompleted({ ...TXN, track2: `${PAN}=2912101`, pin_block: '0123456789ABCDEF' } as TxnLine)
  t.notMatch(lines.join(''), /track2|pin_block|0123456789ABCDEF|4999990000000005/)
})

t.test('each event is named noun.verb_past and has its level', async (t) => {
  const [log, lines] = opened()
  log.linkChanged('visa', 'connected', 'ready', 'signed_on')
  log.linkChanged('visa', 'ready', 'down', 'peer_closed')
  log.messageRefused('pos', { kind: 'length_not_decimal', field: 35, offset: 40 })
  log.messageRejected('visa')
  log.answerLate('visa', TXN.id, '00')
  log.answerUnmatched('visa', TXN.id, 7)
  log.codeUnmapped('visa', 'Z9')
  log.duplicateRefused('pos', TXN.id)
  log.reversalQueued('visa', TXN.id, 'timeout')
  log.safChanged('visa', TXN.id, 'acknowledged', 2, '00')
  log.safChanged('visa', TXN.id, 'parked', 6, '')
  log.tokenChanged(true, 'SoftHSM')
  log.databaseChanged(false, 'gone')
  log.keyChanged('zone.visa.pin', 'A1B2C3D4')
  log.switchStarted('0.1.0', 4)
  log.switchDraining('SIGTERM')
  log.switchStopped(0)
  log.faultCaught('flow', new Error('no'))
  const told = lines.map((line) => JSON.parse(line) as { level: string; event: string })
  for (const { event } of told) t.match(event, /^[a-z]+\.[a-z_]+$/)
  t.same(
    told.map(({ level, event }) => `${event} ${level}`),
    [
      'link.changed info', 'link.changed warn', 'message.refused warn', 'message.rejected error',
      'answer.late warn', 'answer.unmatched warn', 'code.unmapped error', 'duplicate.refused error',
      'reversal.queued warn', 'saf.changed info', 'saf.changed error', 'token.changed info',
      'database.changed error', 'key.changed info', 'switch.started info', 'switch.draining info',
      'switch.stopped info', 'fault.caught error',
    ],
  )
})

t.test('a level holds back what is below it', async (t) => {
  const [log, lines] = opened('error')
  log.txnCompleted(TXN)
  log.linkChanged('visa', 'ready', 'down', 'peer_closed')
  log.codeUnmapped('visa', 'Z9')
  t.equal(lines.length, 1)
})

const LEAKS = [
  { name: 'a PAN', text: `duplicate key (pan)=(${PAN})` },
  { name: 'a PAN in groups', text: 'card 4999 9900 0000 0005 failed' },
  { name: 'a PAN with dashes', text: 'card 4999-9900-0000-0005' },
  { name: 'track 2', text: `${PAN}=29121010000012300000` },
  { name: 'a PIN block', text: 'block 0412AC89ABCDEF67' },
  { name: 'a key', text: 'key 0123456789abcdeffedcba9876543210' },
  { name: 'hex with colons', text: 'bytes 01:23:45:67:89:AB:CD:EF' },
]

for (const { name, text } of LEAKS) {
  t.test(`an error whose text quotes ${name} is logged without it`, async (t) => {
    const [log, lines] = opened()
    const error = Object.assign(new Error(text), { code: '22P02', detail: text, track2: text })
    log.faultCaught('journal', error)
    log.databaseChanged(false, text)
    t.notMatch(lines.join('').replaceAll('2026-02-28', ''), /[0-9A-Fa-f]{6}[^"]*[0-9A-Fa-f]{8}/)
    t.match(lines.join(''), /\[digits\]/)
    const line = JSON.parse(lines[0] ?? '') as Record<string, string>
    t.match(line, { where: 'journal', error: 'Error', code: '22P02' })
    t.match(line['stack'], /switch\/log\/log\.test\.ts/)
    t.notMatch(line['stack'], /file:\/\/[^ ]*switch\/log/)
  })
}

t.test('what is no code and what is no error is not repeated', async (t) => {
  const [log, lines] = opened()
  log.codeUnmapped('visa', PAN)
  log.faultCaught('step', PAN)
  t.notMatch(lines.join(''), PAN)
})

t.test('scrubbing keeps sentences, codes and short numbers', async (t) => {
  const kept = 'connect ECONNREFUSED 127.0.0.1:5432 after 1500 ms, SQLSTATE 23505'
  t.equal(scrubbed(kept), kept)
  t.equal(scrubbed('a'.repeat(20)), '[digits]')
})
