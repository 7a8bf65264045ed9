// The chip of a synthetic PBOC card: makes the ARQC and the DE55 of a request, checks the ARPC.
// Called by the POS and ATM simulators and by the CUPS simulator when it plays an acquirer. It is
// written from the PBOC rules alone (emv facts: CVN 01, option A card key, PBOC session key) and
// must share nothing with the issuer's verification in emv/ or hsm/pkcs11.

import { concat, equalConstantTime, fromHex, toHex, wipe, xor } from '../hsm/algorithms/bytes.ts'
import type { BlockCipher } from '../hsm/algorithms/cipher.ts'
import { deriveCardMasterKey, deriveSessionKey } from '../hsm/algorithms/emv-keys.ts'
import { macAlgorithm3 } from '../hsm/algorithms/mac.ts'
import { desCipher, tdesCipher } from '../hsm/algorithms/software-ciphers.ts'
import type { SyntheticCard } from './cards.ts'

/** What the terminal tells the card. Texts are digits as in the message. */
export interface ChipTransaction {
  readonly amountMinor: number
  /** ISO 4217 numeric, three digits. */
  readonly currency: string
  /** YYMMDD, terminal's local date. */
  readonly date: string
  /** 9C: 00 purchase, 01 cash, 31 balance inquiry. */
  readonly type: string
  /** 9F37, 4 bytes. */
  readonly unpredictableNumber: Uint8Array
  /** 9F36, 1 to 65535; the card counts it. */
  readonly atc: number
}

/** A cryptogram made by the card, and what is needed to check the issuer's answer. */
export interface ChipRequest {
  /** DE55 of the request. */
  readonly data: Uint8Array
  readonly arqc: Uint8Array
  /** DE55 of a reversal: 95 9F1E 9F10 9F36. */
  readonly reversalData: Uint8Array
  /** Whether tag 91 holds ARPC and code that the card accepts for this cryptogram. */
  issuerIsGenuine(issuerAuthenticationData: Uint8Array): boolean
}

const TERMINAL_COUNTRY = '0156'
/** SDA, DDA, cardholder verification, terminal risk management, issuer authentication. */
const AIP = '7C00'
const TVR = '0000048000' // byte 4: floor limit exceeded; byte 3: online PIN entered
const CVR = '03A00000' // first GENERATE AC returned an ARQC, second not requested yet
const INTERFACE_DEVICE = 'SWYARD01'

/** One TLV object of short form; the values here are all below 128 bytes. */
function tlv(tag: string, value: Uint8Array): Uint8Array {
  return concat(fromHex(tag), Uint8Array.of(value.length), value)
}

/** Card side of a chip card whose issuer master key is `imk`. */
export class Chip {
  readonly #cardKey: Uint8Array

  constructor(imk: BlockCipher, card: SyntheticCard) {
    this.#cardKey = deriveCardMasterKey(imk, 'A', card.pan, card.sequence)
  }

  /** First GENERATE AC: an ARQC, and all that DE55 carries with it. */
  request(transaction: ChipTransaction): ChipRequest {
    const atc = Uint8Array.of(transaction.atc >> 8, transaction.atc & 255)
    const amount = fromHex(String(transaction.amountMinor).padStart(12, '0'))
    const currency = fromHex(transaction.currency.padStart(4, '0'))
    const date = fromHex(transaction.date)
    const type = fromHex(transaction.type)
    const other = new Uint8Array(6)
    const country = fromHex(TERMINAL_COUNTRY)
    const input = concat(
      amount,
      other,
      country,
      fromHex(TVR),
      currency,
      date,
      type,
      transaction.unpredictableNumber,
      fromHex(AIP),
      atc,
      fromHex(CVR),
    )
    const session = deriveSessionKey(this.#cardKey, tdesCipher, 'pboc', { atc })
    const single = desCipher(session.slice(0, 8))
    const pair = tdesCipher(session)
    wipe(session)
    const arqc = macAlgorithm3(single, pair, input, { padding: 2 })
    // 9F10: length 7, key index 00, CVN 01, CVR, algorithm 01 (3DES); no issuer discretionary data.
    const applicationData = fromHex(`070001${CVR}01`)
    const device = Uint8Array.from(Buffer.from(INTERFACE_DEVICE, 'ascii'))
    const data = concat(
      tlv('9F26', arqc),
      tlv('9F27', Uint8Array.of(0x80)),
      tlv('9F10', applicationData),
      tlv('9F37', transaction.unpredictableNumber),
      tlv('9F36', atc),
      tlv('95', fromHex(TVR)),
      tlv('9A', date),
      tlv('9C', type),
      tlv('9F02', amount),
      tlv('5F2A', currency),
      tlv('82', fromHex(AIP)),
      tlv('9F1A', country),
      tlv('9F03', other),
      tlv('9F33', fromHex('E0E9C8')),
      tlv('9F34', fromHex('420300')),
      tlv('9F35', fromHex('22')),
      tlv('9F1E', device),
      tlv('84', fromHex('A000000333010101')),
      tlv('9F09', fromHex('0030')),
    )
    const reversalData = concat(
      tlv('95', fromHex(TVR)),
      tlv('9F1E', device),
      tlv('9F10', applicationData),
      tlv('9F36', atc),
    )
    return { data, arqc, reversalData, issuerIsGenuine: (value) => arpcFits(pair, arqc, value) }
  }
}

/** ARPC method 1: E(SK, ARQC xor (code, 6 zero bytes)); tag 91 is ARPC and code. */
function arpcFits(session: BlockCipher, arqc: Uint8Array, value: Uint8Array): boolean {
  if (value.length !== 10) return false
  const code = concat(value.slice(8), new Uint8Array(6))
  return equalConstantTime(session.encryptEcb(xor(arqc, code)), value.slice(0, 8))
}

/**
 * The first value of a tag in BER-TLV data, or null; constructed objects are not entered.
 *
 * @param tag upper-case hex, e.g. '91'
 */
export function tagValue(data: Uint8Array, tag: string): Uint8Array | null {
  let at = 0
  while (at < data.length) {
    const tagAt = at
    let more = (data[at++]! & 0x1f) === 0x1f
    while (more && at < data.length) more = (data[at++]! & 0x80) !== 0
    const name = toHex(data.slice(tagAt, at))
    let length = data[at++] ?? 0
    if (length > 0x80) {
      let count = length & 0x7f
      length = 0
      while (count-- > 0) length = length * 256 + (data[at++] ?? 0)
    }
    if (at + length > data.length) return null
    if (name === tag) return data.slice(at, at + length)
    at += length
  }
  return null
}
