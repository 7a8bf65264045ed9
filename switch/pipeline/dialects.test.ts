/**
 * One purchase in every dialect: built from one canonical record, walked, and read back as the same
 * values; answered by the side that read it; reversed, and the reversal names its original.
 */
import t from 'tap'
import type { Test } from 'tap'
import { loadDialect } from '../../config/dialects.ts'
import { checkMessage } from '../../config/message-rules.ts'
import { compileDialect, type Dialect } from '../codec/dialect.ts'
import { Fault } from '../codec/fault.ts'
import { View } from '../codec/view.ts'
import { walk } from '../codec/walk.ts'
import { MessageWriter } from '../codec/writer.ts'
import type { Link, Message } from '../link/contract.ts'
import { VirtualClock } from '../runtime/virtual-clock.ts'
import { Pan, Secret } from '../secrets.ts'
import { MessageBuilder } from './build-message.ts'
import { Calendar } from './calendar.ts'
import type { Context, LinkProfile } from './context.ts'
import { readerOf, readRequest, type IccForm, type Reader } from './read-request.ts'
import { Txn } from './txn.ts'

const PAN = '4761739001010119'
const CHIP = Buffer.from(
  '9F2608123456789ABCDEF09F100706010A03A000009F370412345678' + '9F36020011' + '95050000008000' +
    '9A03260318' + '9C0100' + '9F0206000000012345' + '5F2A020156' + '9F1A020156' + '82023900' +
    '9F0306000000000000' + '5F340101' + '9F270180',
  'hex',
)
const PIN_BLOCK = Buffer.from('0123456789ABCDEF', 'hex')
const NOW = Date.UTC(2026, 2, 18, 6, 45, 39)

interface Row {
  readonly name: string
  readonly source: string
  readonly icc: IccForm
  /** The message that our own builder makes; none where terminals alone send requests. */
  readonly sent: boolean
}

const ROWS: readonly Row[] = [
  { name: 'cups', source: 'cups-host.md section 12', icc: 'tlv', sent: true },
  { name: 'visa', source: 'visa.md section 8', icc: 'visa_dataset', sent: true },
  { name: 'mastercard', source: 'mastercard.md section 7', icc: 'tlv', sent: true },
  { name: 'mastercard-single', source: 'mastercard.md section 10', icc: 'tlv', sent: true },
  { name: 'amex', source: 'amex.md section 3', icc: 'tlv', sent: true },
  { name: 'iso87-ascii', source: 'iso8583.md section 2', icc: 'hex_text', sent: true },
  { name: 'iso87-binary', source: 'iso8583.md section 2', icc: 'tlv', sent: true },
  { name: 'iso93-ascii', source: 'iso8583.md section 3', icc: 'tlv', sent: true },
  { name: 'iso93-binary', source: 'iso8583.md section 3', icc: 'tlv', sent: true },
  { name: 'cups-pos', source: 'cups-pos.md section 5', icc: 'tlv', sent: false },
]

interface Bench {
  readonly dialect: Dialect
  readonly builder: MessageBuilder
  readonly reader: Reader
  readonly context: Context
  readonly check: (t: Test, view: View, request?: View) => void
}

function benchOf(row: Row): Bench {
  const { spec, meaning } = loadDialect(row.name)
  const dialect = compileDialect(spec)
  const clock = new VirtualClock(NOW)
  const profile = { institution: '10010001', macRequired: false } as LinkProfile
  return {
    dialect,
    builder: new MessageBuilder(dialect, meaning, profile),
    reader: readerOf(meaning, row.icc),
    context: { calendar: new Calendar(clock, 'Asia/Shanghai', '23:00') } as unknown as Context,
    check: (t, view, request) => t.same(checkMessage(meaning, view, request ?? null), []),
  }
}

/** What a chip card's purchase with PIN is, whoever asks. */
function purchase(link: Link): Txn {
  const txn = new Txn('1', messageOf(link, new View()))
  txn.kind = 'purchase'
  txn.pan = new Pan(PAN)
  txn.track2 = new Secret('track2', `${PAN}=30122011234567890`)
  txn.processing = '000000'
  txn.amountMinor = 12345
  txn.currency = '156'
  txn.localTime = '144539'
  txn.localDate = '0318'
  txn.expiry = '3012'
  txn.mcc = '5411'
  txn.entryMode = '051'
  txn.panSequence = '001'
  txn.condition = '00'
  txn.pinCapture = '12'
  txn.terminalId = '10000001'
  txn.merchantId = '123456789012345'
  txn.location = Buffer.from('SWITCHYARD SHOP'.padEnd(40))
  txn.icc = CHIP
  txn.forwardPinBlock = new Secret('pin_block', Uint8Array.from(PIN_BLOCK))
  txn.answer = { ...txn.answer, networkRrn: '607706000042' }
  txn.sentStan = '000042'
  txn.sentTransmissionAt = '0318064539'
  return txn
}

/** The same as a terminal sends it: fields by hand, because we build no request of this dialect. */
function terminalPurchase(dialect: Dialect): Buffer {
  const writer = new MessageWriter(dialect, 2048)
  writer.begin('0200')
  const fields: Readonly<Record<number, string>> = {
    2: PAN, 3: '000000', 4: '000000012345', 11: '000042', 14: '3012', 22: '051', 23: '001',
    25: '00', 26: '12', 35: `${PAN}D30122011234567890`, 41: '10000001', 42: '123456789012345',
    49: '156', 53: '2600000000000000', 60: '22000001000500',
  }
  for (const [field, text] of Object.entries(fields)) writer.setText(Number(field), text)
  writer.setBytes(52, PIN_BLOCK)
  writer.setBytes(55, CHIP)
  return Buffer.from(writer.finish()!.frame)
}

function linkOf(builder: MessageBuilder): Link {
  const settings = { name: 'peer', meaning: builder.meaning }
  return { settings } as unknown as Link
}

function messageOf(link: Link, view: View): Message {
  return {
    link, view, connectionId: 0, envelope: new Uint8Array(0), receivedAtMs: 0, receivedMono: 0,
    release: () => undefined,
  }
}

function walked(t: Test, dialect: Dialect, frame: Uint8Array): View {
  const view = new View(dialect)
  const fault = new Fault()
  if (!walk(dialect, frame, 0, frame.length, view, fault)) {
    t.fail(`${fault.kind} in field ${fault.field} at ${fault.offset}`)
  }
  return view
}

function asked(t: Test, bench: Bench, mti: string, txn: Txn): View {
  return walked(t, bench.dialect, Buffer.from(bench.builder.request(mti, txn, bench.context)))
}

function answered(t: Test, bench: Bench, txn: Txn): View {
  return walked(t, bench.dialect, Buffer.from(bench.builder.reply(txn, bench.context, false)))
}

for (const row of ROWS) {
  t.test(`a purchase in ${row.name} is read as it was meant`, async (t) => {
    const bench = benchOf(row)
    const link = linkOf(bench.builder)
    const meant = purchase(link)
    meant.sentMti = bench.builder.meaning.forward_mti['purchase'] ?? '0200'
    const frame = row.sent ? Buffer.from(bench.builder.request(meant.sentMti, meant, bench.context))
      : terminalPurchase(bench.dialect)
    const view = walked(t, bench.dialect, frame)
    bench.check(t, view)
    const read = new Txn('2', messageOf(link, view))
    readRequest(read, bench.reader)
    t.equal(read.kind, 'purchase')
    t.equal(read.pan?.reveal(), PAN)
    const items = ['processing', 'amountMinor', 'currency', 'expiry', 'panSequence'] as const
    for (const item of items) {
      t.equal(read[item], meant[item], item)
    }
    t.equal(read.stan, '000042')
    t.equal(read.entryMode.slice(0, 3), '051')
    t.equal(read.terminalId, meant.terminalId)
    t.equal(read.merchantId, meant.merchantId)
    t.equal(read.track2?.reveal().replace('D', '='), meant.track2?.reveal())
    t.same(Buffer.from(read.pinBlock!.reveal()), PIN_BLOCK)
    t.same(Buffer.from(read.icc!), CHIP, 'chip data byte for byte')
    if (row.sent) {
      t.equal(read.localTime, meant.localTime)
      t.equal(read.localDate, meant.localDate)
      t.equal(read.mcc, meant.mcc)
      t.equal(read.acquirer, '10010001')
      t.equal(read.rrn, '607706000042')
    }
    answers(t, bench, read)
    if (row.sent) reverses(t, bench, meant, read)
  })
}

/** The issuer's answer: right MTI and code, echoes as the dialect asks, chip data for the card. */
function answers(t: Test, bench: Bench, read: Txn): void {
  read.answerIcc = Buffer.from('910A11223344556677880000', 'hex')
  const networkRrn = '607706000042'
  read.answer = { ...read.answer, reason: 'approved', authCode: '123456', networkRrn }
  const view = answered(t, bench, read)
  const request = read.message.view
  t.equal(view.mti, `${request.mti.slice(0, 2)}1${request.mti.slice(3)}`)
  t.equal(bench.builder.reasonFor(view.text(39)), 'approved')
  t.equal(view.text(38), '123456')
  bench.check(t, view, request)
  for (const field of bench.builder.meaning.matching) {
    t.equal(view.text(field), request.text(field), `field ${field} matches the answer`)
  }
  read.answer = { ...read.answer, reason: 'wrong_pin' }
  const declined = answered(t, bench, read)
  t.not(bench.builder.reasonFor(declined.text(39)), null, 'a decline of ours is known to us')
  t.notOk(declined.has(38))
}

/** The reversal a day later, in a life that holds the journal's row only. */
function reverses(t: Test, bench: Bench, meant: Txn, read: Txn): void {
  const rule = bench.builder.meaning.reversal
  t.ok(rule, 'a network that is asked needs a reversal')
  if (rule === undefined) return
  const undone = purchase(meant.link)
  undone.track2 = null
  undone.icc = null
  undone.forwardPinBlock = null
  undone.original = { mti: meant.sentMti, stan: meant.sentStan, at: meant.sentTransmissionAt }
  undone.sentStan = rule.reuse_stan ? meant.sentStan : '000777'
  undone.sentTransmissionAt = '0319010203'
  undone.answer = { ...undone.answer, reason: 'timeout' }
  for (const mti of [rule.mti, rule.repeat_mti]) {
    const view = asked(t, bench, mti, undone)
    bench.check(t, view)
    const reversal = new Txn('3', messageOf(meant.link, view))
    readRequest(reversal, bench.reader)
    t.equal(reversal.kind, 'reversal')
    t.equal(reversal.originalKey, read.businessKey, 'the reversal names its original')
    t.equal(reversal.amountMinor, 12345)
    reversal.answer = { ...reversal.answer, reason: 'approved' }
    const answer = answered(t, bench, reversal)
    bench.check(t, answer, view)
    t.ok(rule.accepted.includes(answer.text(39)), 'our own acknowledgement closes a reversal')
  }
}

t.test('a balance inquiry has no amount and comes back with one', async (t) => {
  for (const row of ROWS.filter((one) => one.sent)) {
    const bench = benchOf(row)
    const link = linkOf(bench.builder)
    const meant = purchase(link)
    meant.kind = 'balance'
    meant.processing = '300000'
    meant.sentMti = bench.builder.meaning.forward_mti['balance'] ?? ''
    const view = asked(t, bench, meant.sentMti, meant)
    bench.check(t, view)
    t.notOk(view.has(4), row.name)
    const read = new Txn('2', messageOf(link, view))
    readRequest(read, bench.reader)
    t.equal(read.kind, 'balance', row.name)
    read.answer = { ...read.answer, reason: 'approved', balanceMinor: -550, balanceCurrency: '156' }
    const answer = answered(t, bench, read)
    t.equal(answer.text(54), '0002156D000000000550', row.name)
  }
})

t.test('a date without year gets the year that is nearest to the business date', async (t) => {
  const bench = benchOf(ROWS.find((row) => row.name === 'amex')!)
  const clock = new VirtualClock(Date.UTC(2026, 11, 31, 17, 0, 0)) // 1 January in Shanghai
  const context = { calendar: new Calendar(clock, 'Asia/Shanghai', '00:00') } as unknown as Context
  const asked = purchase(linkOf(bench.builder))
  asked.localDate = '1231'
  asked.sentMti = '1100'
  const view = walked(t, bench.dialect, Buffer.from(bench.builder.request('1100', asked, context)))
  t.equal(view.text(12), '261231144539')
})
