/**
 * Canonical items by name: what a dialect file may put into a field of a message we build.
 *
 * `build`, `reply.set` and store-and-forward in a dialect's meaning name these items; `const:TEXT`
 * and `hex:BYTES` are items too. An item that has no value (null) leaves its field out. A new item
 * is one line here. Nothing in this file decides.
 */

import { isApproved } from '../reasons.ts'
import { agnsAnswerOfTlvs, agnsOfTlvs } from './agns-chip.ts'
import type { Context, LinkProfile } from './context.ts'
import { posDataCodeOf } from './entry-mode.ts'
import type { Txn } from './txn.ts'

/** A value for a field: text as contract `message encode` takes it, or bytes. */
export type ItemValue = string | Uint8Array | null

/** What an item may look at beside the transaction: where the message goes. */
export interface ItemTarget {
  profile: LinkProfile
  context: Context
}

export type Item = (txn: Txn, target: ItemTarget) => ItemValue

const orNull = (text: string): string | null => (text === '' ? null : text)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex').toUpperCase()

/** Items by name. Text items are null when empty. */
export const ITEMS: Readonly<Record<string, Item>> = {
  // Card
  pan: (txn) => txn.pan?.reveal() ?? null,
  expiry: (txn) => orNull(txn.expiry),
  pan_sequence: (txn) => orNull(txn.panSequence),
  track2: (txn) => txn.track2?.reveal().replace('D', '=') ?? null,
  track2_d: (txn) => txn.track2?.reveal().replace('=', 'D') ?? null,
  pin_block: (txn) => txn.forwardPinBlock?.reveal() ?? null,
  icc: (txn) => txn.icc,
  icc_hex: (txn) => (txn.icc ? hex(txn.icc) : null),
  icc_agns: (txn) => (txn.icc ? agnsOfTlvs(txn.icc) : null),
  icc_visa: (txn) => (txn.icc ? visaDataset(txn.icc) : null),
  // What and how much
  processing: (txn) => orNull(txn.processing),
  amount: (txn) => (txn.kind === 'balance' ? null : amountText(txn.amountMinor)),
  currency: (txn) => orNull(txn.currency),
  entry_mode_3: (txn) => orNull(txn.entryMode.slice(0, 3)),
  entry_mode_4: (txn) => orNull(txn.entryMode.slice(0, 3).padEnd(txn.entryMode ? 4 : 0, '0')),
  entry_mode_12: (txn) => orNull(posDataCodeOf(txn)),
  function_code: (txn) => functionCode(txn),
  condition: (txn) => orNull(txn.condition),
  pin_capture: (txn) => (txn.forwardPinBlock ? txn.pinCapture || '12' : null),
  // Identity on the wire
  transmission_time: (txn) => orNull(txn.sentTransmissionAt),
  stan: (txn) => orNull(txn.sentStan),
  rrn: (txn) => orNull(txn.answer.networkRrn || txn.rrn),
  auth_code: (txn) => orNull(txn.answer.authCode),
  local_time: (txn, { context }) => txn.localTime || context.calendar.localTime(),
  local_date: (txn, { context }) => txn.localDate || context.calendar.localDate(),
  local_date_time: (txn, { context }) => localDateTime(txn, context),
  institution: (_txn, { profile }) => profile.institution,
  original_elements: (txn, { profile }) => originalElements(txn, profile.institution),
  original_elements_no_forwarder: (txn, { profile }) => {
    return originalElements(txn, profile.institution, '')
  },
  original_elements_93: (txn, target) => originalElements93(txn, target),
  replacement_amounts: (txn) => replacementAmounts(txn),
  visa_63_reversal: (txn) => visa63Reversal(txn),
  reversal_code: (txn) => REVERSAL_CODE[reversalCause(txn)],
  reversal_reason_93: (txn) => REVERSAL_REASON_93[reversalCause(txn)],
  // Where
  mcc: (txn) => orNull(txn.mcc || (txn.terminal?.mcc ?? '')),
  terminal_id: (txn) => orNull(txn.terminalId),
  merchant_id: (txn) => orNull(txn.merchantId || (txn.terminal?.merchant ?? '')),
  location: (txn) => txn.location ?? (txn.terminal ? txn.terminal.name.padEnd(40) : null),
  location_ascii: (txn) => (txn.terminal ? txn.terminal.name.padEnd(40) : asciiOf(txn.location)),
  // Security control (DE53)
  security_unionpay: (txn) => (txn.forwardPinBlock ? '2600000000000000' : null),
  security_visa: (txn) => (txn.forwardPinBlock ? '2001010100000000' : null),
  security_mastercard: (txn) => (txn.forwardPinBlock ? '9701010001000000' : null),
  // Network private fields
  cups_60: (txn) => cups60(txn),
  visa_60: (txn) => (txn.entryMode.startsWith('05') ? '05000010' : '02000010'),
  mastercard_category: (txn) => (txn.condition === '02' || txn.kind === 'cash' ? 'Z' : 'R'),
  mastercard_61: (txn) => mastercard61(txn),
  // Answers
  settlement_date: (txn) => settlementDate(txn),
  settlement_date_6: (txn, { context }) => withYear(settlementDate(txn), context),
  icc_answer: (txn) => txn.answerIcc,
  icc_answer_hex: (txn) => (txn.answerIcc ? hex(txn.answerIcc) : null),
  icc_answer_agns: (txn) => (txn.answerIcc ? agnsAnswerOfTlvs(txn.answerIcc) : null),
  icc_answer_visa: (txn) => (txn.answerIcc ? visaDataset(txn.answerIcc) : null),
  balance_20: (txn) => balanceText(txn),
  pos_60_sign_on: (txn) => `00${txn.batch}${txn.message.view.text(60).slice(8, 11)}`,
  terminal_keys: (txn) => txn.answerKeys,
  terminal_keys_hex: (txn) => (txn.answerKeys ? hex(txn.answerKeys) : null),
}

/** Finds an item by its name in a dialect file; throws with the name when there is none. */
export function itemNamed(name: string): Item {
  if (name.startsWith('const:')) {
    const text = name.slice('const:'.length)
    return () => text
  }
  if (name.startsWith('hex:')) {
    const bytes = Buffer.from(name.slice('hex:'.length), 'hex')
    return () => bytes
  }
  const item = ITEMS[name]
  if (!item) throw new Error(`there is no item "${name}"; see docs/reference/items.md`)
  return item
}

/**
 * DE15, MMDD: the network's own where it sent one, else the one in force, else the business date
 * (cups-host.md section 13: taken from the network, never computed over it).
 */
function settlementDate(txn: Txn): string {
  const { view } = txn.message
  const theirs = view.has(15) ? view.text(15).slice(-4) : ''
  return theirs || txn.answer.settlementDate || txn.businessDate.slice(5).replace('-', '')
}

/** DE95: what stays of a partly reversed amount, then zeros (42 digits). */
function replacementAmounts(txn: Txn): string | null {
  if (txn.remainingMinor === null) return null
  return amountText(txn.remainingMinor).padEnd(42, '0')
}

/** DE4: twelve digits. */
export function amountText(minor: number): string {
  return String(minor).padStart(12, '0')
}

/** DE90: MTI, STAN, DE7, acquirer and forwarder of the request that is undone (42 digits). */
function originalElements(txn: Txn, institution: string, forwarder = institution): string {
  const id = (text: string): string => text.padStart(11, '0').slice(-11)
  const { mti, stan, at } = txn.original
  return mti + stan + at + id(institution) + id(forwarder)
}

/** DE56 of 1993: MTI, STAN, DE12 and acquirer (two digits of length) of the undone request. */
function originalElements93(txn: Txn, { profile, context }: ItemTarget): string {
  const { mti, stan } = txn.original
  const { institution } = profile
  const at = localDateTime(txn, context)
  return mti + stan + at + String(institution.length).padStart(2, '0') + institution
}

/**
 * DE12 of 1993, YYMMDDhhmmss: the originator's local time, else the DE7 with which the request was
 * sent, so that a reversal made later names the same instant.
 */
function localDateTime(txn: Txn, context: Context): string {
  const sent = txn.original.at || txn.sentTransmissionAt
  const at = txn.localDate && txn.localTime ? txn.localDate + txn.localTime : sent
  return withYear(at, context)
}

/** MMDD... with the year that makes it nearest to the business date in front. */
function withYear(monthDay: string, context: Context): string {
  const [year = '', month = '', day = ''] = context.calendar.businessDate().split('-')
  const apart = Number(monthDay.slice(0, 2)) * 31 + Number(monthDay.slice(2, 4)) -
    (Number(month) * 31 + Number(day))
  const shift = apart > HALF_YEAR_DAYS ? -1 : apart < -HALF_YEAR_DAYS ? 1 : 0
  return String((Number(year) + shift) % 100).padStart(2, '0') + monthDay
}

const HALF_YEAR_DAYS = 186

type ReversalCause = 'late' | 'cancelled' | 'partial' | 'error'
/** DE39 of a 1987 reversal request; mastercard.md section 7. */
const REVERSAL_CODE = { late: '68', cancelled: '17', partial: '32', error: '06' } as const
/** DE25 of a 1993 reversal; iso8583.md section 6. */
const REVERSAL_REASON_93 = {
  late: '4021', cancelled: '4000', partial: '4004', error: '4001',
} as const

/** Why a stored transaction is undone, as far as its answer tells. */
function reversalCause(txn: Txn): ReversalCause {
  const { reason } = txn.answer
  if (reason === '' || reason === 'timeout') return 'late'
  if (reason === 'partial_approval') return 'partial'
  return isApproved(reason) ? 'cancelled' : 'error'
}

/** DE24 of 1993: 108 inquiry, 200 original financial, 100 original authorization. */
function functionCode(txn: Txn): string {
  if (txn.kind === 'balance') return '108'
  return txn.sentMti.charAt(1) === '2' ? '200' : '100'
}

/** Mastercard DE61, 26 positions; mastercard.md section 6. An ATM is unattended, level 1. */
function mastercard61(txn: Txn): string {
  const atm = txn.condition === '02' || txn.kind === 'cash'
  const chip = txn.entryMode.startsWith('05') || txn.entryMode.startsWith('07')
  // 1 attendance, 2-9 as in an ordinary purchase with the card, 10 level, 11 input, 12-13, country
  return `${atm ? '1' : '0'}00000000${atm ? '1' : '0'}${chip ? '5' : '2'}00156`.padEnd(26)
}

/** VisaNet DE63 of a reversal: 63.1 network 0002, 63.3 reason 2502 not completed, 2504 partial. */
function visa63Reversal(txn: Txn): Uint8Array {
  return Buffer.from(`A000000002${txn.remainingMinor === null ? '2502' : '2504'}`, 'hex')
}

/** VisaNet DE55: dataset 01, two bytes of length, TLVs as they came. */
function visaDataset(tlvs: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from([0x01, tlvs.length >> 8, tlvs.length & 0xff]), tlvs])
}

/**
 * CUPS DE60 up to 60.3.8, 27 characters; cups-host.md section 8. Values beyond reason and terminal
 * type are defaults.
 */
function cups60(txn: Txn): string {
  const chip = txn.entryMode.startsWith('05') || txn.entryMode.startsWith('07')
  const terminalType = txn.condition === '02' ? '01' : '03'
  const medium = chip ? '2' : '1'
  // 60.1 reason, 60.2.1 to 60.2.4, terminal type, 60.2.6 to 60.3.4, initiation, medium, rest
  return `00000600${terminalType}0000000000001${medium}000`
}

/** DE54: one block of twenty: account type, 02 available, currency, sign, amount. */
function balanceText(txn: Txn): string | null {
  const { balanceMinor, balanceCurrency } = txn.answer
  if (balanceMinor === null) return null
  const account = txn.processing.slice(2, 4) || '00'
  const sign = balanceMinor < 0 ? 'D' : 'C'
  return `${account}02${balanceCurrency}${sign}${amountText(Math.abs(balanceMinor))}`
}

/** DE43 as plain ASCII; anything else becomes blanks, because EBCDIC networks cannot carry it. */
function asciiOf(location: Uint8Array | null): string | null {
  if (!location) return null
  let text = ''
  for (const byte of location) text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ' '
  return text
}
