/**
 * From a decoded request to the canonical transaction: which field is what, and which keys identify
 * it.
 *
 * Called by run.ts for every request. The field numbers are those of ISO 8583 unless the dialect's
 * meaning says otherwise. It decides nothing: a value that is missing stays empty, steps refuse.
 */

import { createHash } from 'node:crypto'
import type { Meaning } from '../../config/meaning.ts'
import type { View } from '../codec/view.ts'
import { Pan, Secret } from '../secrets.ts'
import { tlvsOfAgns } from './agns-chip.ts'
import { entryModeOf93 } from './entry-mode.ts'
import type { RequestKind, Txn } from './txn.ts'

/** Canonical text items and the field that ISO 8583:1987 gives them. */
const STANDARD_FIELDS = {
  processing: 3,
  transmissionAt: 7,
  stan: 11,
  localTime: 12,
  localDate: 13,
  expiry: 14,
  mcc: 18,
  entryMode: 22,
  panSequence: 23,
  condition: 25,
  pinCapture: 26,
  acquirer: 32,
  forwarder: 33,
  rrn: 37,
  authCode: 38,
  reasonCode: 39,
  terminalId: 41,
  merchantId: 42,
  currency: 49,
  securityControl: 53,
} as const

type TextItem = keyof typeof STANDARD_FIELDS
const TEXT_ITEMS = Object.keys(STANDARD_FIELDS) as TextItem[]

/**
 * One part of a business key: a field, some of its characters, padded on the left with zeros to a
 * width.
 */
interface KeyPart {
  field: number
  from: number
  to: number
  width: number
}

/** How DE55 stands in a message: TLVs, Visa's dataset around them, or hexadecimal characters. */
export type IccForm = 'tlv' | 'visa_dataset' | 'hex_text'

/** Parts of which the first that a message has counts. */
type KeyChoice = readonly KeyPart[]

/** What of a dialect's meaning is needed to read its requests, prepared once. */
export interface Reader {
  kinds: Meaning['kinds']
  partOf: Record<TextItem, KeyPart>
  amountField: number
  originalAmountField: number
  panField: number
  track2Field: number
  locationField: number
  pinField: number
  iccField: number
  iccForm: IccForm
  entryModeForm: Meaning['entry_mode']
  batch: KeyPart | null
  businessKey: KeyChoice[]
  originalKey: KeyChoice[]
}

/**
 * Prepares a dialect's reader. Throws with the wrong part's text when a key part cannot be read.
 */
export function readerOf(meaning: Meaning, iccForm: IccForm): Reader {
  const at = (name: string, standard: number): number => Number(meaning.read[name] ?? standard)
  const partOf = {} as Record<TextItem, KeyPart>
  for (const item of TEXT_ITEMS) {
    partOf[item] = keyPart(String(meaning.read[item] ?? STANDARD_FIELDS[item]))
  }
  return {
    kinds: meaning.kinds,
    partOf,
    amountField: at('amount', 4),
    originalAmountField: at('replacement_amounts', 95),
    panField: at('pan', 2),
    track2Field: at('track2', 35),
    locationField: at('location', 43),
    pinField: at('pin_block', 52),
    iccField: at('icc', 55),
    iccForm,
    entryModeForm: meaning.entry_mode,
    batch: meaning.batch === '' ? null : keyPart(meaning.batch),
    businessKey: meaning.business_key.map(keyChoice),
    originalKey: meaning.original_key.map(keyChoice),
  }
}

/** `90:4-10|11`: the first part whose field is there. */
function keyChoice(text: string): KeyChoice {
  return text.split('|').map(keyPart)
}

/** `11`, `60:2-8`, `32:pad11` or `90:4-10`. */
function keyPart(text: string): KeyPart {
  const match = /^(\d+)(?::(\d+)-(\d+))?(?::pad(\d+))?$/.exec(text)
  if (!match) throw new Error(`key part "${text}" is not FIELD, FIELD:FROM-TO or FIELD:padWIDTH`)
  return {
    field: Number(match[1]),
    from: match[2] === undefined ? 0 : Number(match[2]),
    to: match[3] === undefined ? Infinity : Number(match[3]),
    width: match[4] === undefined ? 0 : Number(match[4]),
  }
}

/** A canonical item as it stands in the message, blanks included. */
function itemText(part: KeyPart, view: View): string {
  const text = view.text(part.field)
  return part.to === Infinity ? text : text.slice(part.from, part.to)
}

function partText(part: KeyPart, view: View): string {
  const text = view.text(part.field).slice(part.from, part.to).trim()
  return part.width > 0 ? text.padStart(part.width, '0') : text
}

/**
 * The kind of a request by MTI, first two digits of DE3 and DE25; null when the dialect does not
 * list it.
 */
export function kindOf(reader: Reader, view: View): RequestKind | null {
  const mti = view.mti
  const processing = itemText(reader.partOf.processing, view).slice(0, 2)
  const condition = itemText(reader.partOf.condition, view)
  for (const row of reader.kinds) {
    if (!row.mti.includes(mti)) continue
    if (row.processing.length > 0 && !row.processing.includes(processing)) continue
    if (row.condition.length > 0 && !row.condition.includes(condition)) continue
    if (row.network_code.length > 0 && !row.network_code.includes(view.text(70))) continue
    return row.kind
  }
  return null
}

/** Fills `txn` from its message; the PAN comes from DE2, else from track 2. */
export function readRequest(txn: Txn, reader: Reader): void {
  const view = txn.message.view
  txn.kind = kindOf(reader, view)
  for (const item of TEXT_ITEMS) txn[item] = itemText(reader.partOf[item], view)
  if (reader.entryModeForm === 'iso93') txn.entryMode = entryModeOf93(txn.entryMode)
  if (view.has(reader.amountField)) txn.amountMinor = view.digitsToNumber(reader.amountField)
  if (view.has(reader.track2Field)) {
    txn.track2 = new Secret('track2', view.text(reader.track2Field))
  }
  const digits = view.text(reader.panField) || panOfTrack2(txn.track2)
  if (digits !== '') txn.pan = new Pan(digits)
  if (view.has(reader.locationField)) txn.location = locationOf(view, reader.locationField)
  if (view.has(reader.pinField)) {
    txn.pinBlock = new Secret('pin_block', Uint8Array.from(view.bytes(reader.pinField)))
  }
  if (view.has(reader.iccField)) txn.icc = iccOf(view, reader.iccField, reader.iccForm)
  if (reader.batch) txn.batch = partText(reader.batch, view)
  if (view.has(reader.originalAmountField)) {
    const left = Number(view.text(reader.originalAmountField).slice(0, 12))
    if (Number.isSafeInteger(left) && left > 0) {
      txn.reversedAmountMinor = Math.max(0, txn.amountMinor - left)
    }
  }
  txn.businessKey = keyText(txn, reader.businessKey, txn.kind === 'reversal' ? 'R' : 'F')
  if (txn.kind === 'reversal') txn.originalKey = keyText(txn, reader.originalKey, 'F')
}

/** DE43 in the character set of the terminals' country; EBCDIC is read into ASCII. */
function locationOf(view: View, field: number): Uint8Array | null {
  if (!view.dialect.ebcdic) return Uint8Array.from(view.raw(field))
  const text = view.text(field)
  return text.startsWith('hex:') ? null : Uint8Array.from(Buffer.from(text, 'latin1'))
}

function keyText(txn: Txn, parts: readonly KeyChoice[], kind: string): string {
  const { view } = txn.message
  let key = `${txn.link.settings.name}|${kind}`
  for (const choice of parts) {
    const part = choice.find((one) => view.has(one.field))
    key += part === undefined ? '|' : `|${partText(part, view)}`
  }
  return key
}

function panOfTrack2(track2: Secret<string> | null): string {
  if (!track2) return ''
  const [digits = ''] = track2.reveal().split(/[=D]/, 1)
  return /^[0-9]{8,19}$/.test(digits) ? digits : ''
}

/**
 * The TLVs of a chip field, without what a dialect puts around them. Used for requests and answers.
 */
export function iccOf(view: View, field: number, form: IccForm): Uint8Array {
  if (form === 'hex_text') return Buffer.from(view.text(field), 'hex')
  const bytes = view.bytes(field)
  const american = tlvsOfAgns(bytes, Number(view.mti[2]) % 2 === 1)
  if (american !== null) return american
  // Visa: dataset id 01, two bytes of length.
  if (form === 'tlv' || bytes.length < 3 || bytes[0] !== 0x01) return Uint8Array.from(bytes)
  const length = (bytes[1]! << 8) | bytes[2]!
  return Uint8Array.from(bytes.subarray(3, 3 + length))
}

/** What must be equal for two requests with one key to be the same request; hex SHA-256. */
export function bodyHashOf(txn: Txn): string {
  const token = txn.panToken ? Buffer.from(txn.panToken).toString('hex') : ''
  const left = txn.reversedAmountMinor ?? ''
  const kind = txn.kind ?? ''
  const body = [kind, txn.processing, txn.amountMinor, txn.currency, token, left].join('|')
  return createHash('sha256').update(body).digest('hex')
}
