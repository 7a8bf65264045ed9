// The cards of the demonstration: all PANs are synthetic and Luhn-valid, all PINs are made up.
// Called by the simulators (terminals that present a card, schemes that issue one) and, through
// demonstrationCards(), by the seed of the bank's own card table. Nobody else may know a PIN: the
// switch gets PVVs only. Never import this file from switch/ outside the demonstration's seed.

import { visaPvv } from '../hsm/algorithms/pin-verification.ts'
import type { BlockCipher } from '../hsm/algorithms/cipher.ts'
import { pinFromText, type PinDigits } from '../hsm/algorithms/pin-block.ts'
import { wipe } from '../hsm/algorithms/bytes.ts'

/** Who answers for a card: the bank itself, Visa's member, or another CUPS member. */
export type CardIssuer = 'own' | 'visa' | 'cups' | 'nobody'

/** One synthetic card. Amounts are minor units of CNY (156). */
export interface SyntheticCard {
  readonly name: string
  readonly issuer: CardIssuer
  readonly pan: string
  /** YYMM. */
  readonly expiry: string
  /** PAN sequence number, two digits. */
  readonly sequence: string
  /** Three digits after the expiry on track 2. */
  readonly serviceCode: string
  readonly chip: boolean
  readonly openingBalanceMinor: bigint
  readonly dailyLimitMinor: bigint
}

type CardRow = readonly [
  name: string,
  issuer: CardIssuer,
  pan: string,
  expiry: string,
  sequence: string,
  chip: boolean,
  openingBalanceMinor: bigint,
]

const DAILY_LIMIT_MINOR = 5_000_000n // CNY 50,000.00: many demonstrations fit into one day

const ROWS: readonly CardRow[] = [
  ['own-1', 'own', '6223001000001376', '3112', '01', true, 100_000_000n],
  ['own-2', 'own', '6223001000002747', '3112', '01', true, 100_000_000n],
  ['own-3', 'own', '6223001000004115', '3112', '01', true, 100_000_000n],
  ['own-4', 'own', '6223001000005484', '3112', '01', true, 100_000_000n],
  ['own-5', 'own', '6223001000006854', '3112', '01', true, 1_000n], // CNY 10.00: declines for funds
  ['own-6', 'own', '6223001000008223', '2401', '01', true, 100_000_000n], // expired
  ['own-7', 'own', '6223001000009593', '3112', '02', true, 100_000_000n], // other sequence number
  ['own-8', 'own', '6223001000010963', '3112', '01', true, 100_000_000n],
  ['visa-1', 'visa', '4000001000002113', '3112', '01', false, 100_000_000n],
  ['visa-2', 'visa', '4000001000004226', '3112', '01', false, 500n], // CNY 5.00: declines for funds
  ['visa-3', 'visa', '4000001000006338', '3112', '01', false, 100_000_000n],
  ['visa-4', 'visa', '4000001000008441', '2401', '01', false, 100_000_000n], // expired
  ['cups-1', 'cups', '6200001000001738', '3112', '01', false, 100_000_000n],
  ['cups-2', 'cups', '6200001000003460', '3112', '01', false, 500n], // CNY 5.00
  ['cups-3', 'cups', '6210001000000051712', '3112', '01', false, 100_000_000n], // 19 digits
  ['lost-bin', 'nobody', '3500001000001237', '3112', '01', false, 0n], // no route has this BIN
]

/** PINs by card name, apart from the records that get printed, so that no dump shows one. */
const PINS: Readonly<Record<string, string>> = {
  'own-1': '135790',
  'own-2': '246801',
  'own-3': '975310',
  'own-4': '864209',
  'own-5': '111213',
  'own-6': '141516',
  'own-7': '171819',
  'own-8': '202122',
  'visa-1': '4711',
  'visa-2': '4812',
  'visa-3': '4913',
  'visa-4': '5014',
  'cups-1': '515253',
  'cups-2': '545556',
  'cups-3': '575859',
  'lost-bin': '606162',
}

/** Every card of the demonstration world. */
export const CARDS: readonly SyntheticCard[] = ROWS.map(
  ([name, issuer, pan, expiry, sequence, chip, openingBalanceMinor]) => ({
    name,
    issuer,
    pan,
    expiry,
    sequence,
    // ISO 7813 service code: 201 chip, normal, no restriction; 101 magnetic stripe only.
    serviceCode: chip ? '201' : '101',
    chip,
    openingBalanceMinor,
    dailyLimitMinor: DAILY_LIMIT_MINOR,
  }),
)

/** The card of that name. @throws Error that lists the names when there is none */
export function cardNamed(name: string): SyntheticCard {
  const card = CARDS.find((one) => one.name === name)
  if (card !== undefined) return card
  throw new Error(`no card '${name}'; known are ${CARDS.map((one) => one.name).join(' ')}`)
}

/** The card with that PAN, or undefined. */
export function cardWithPan(pan: string): SyntheticCard | undefined {
  return CARDS.find((one) => one.pan === pan)
}

/** The PIN of a card as digit values; the caller wipes it after use. */
export function pinOf(card: SyntheticCard): PinDigits {
  return pinFromText(PINS[card.name] ?? '000000')
}

/** A PIN that is not the card's: every digit raised by one, modulo ten. The caller wipes it. */
export function wrongPinOf(card: SyntheticCard): PinDigits {
  return pinOf(card).map((digit) => (digit + 1) % 10)
}

/**
 * Track 2 of a card: PAN, separator, expiry, service code, discretionary digits (ISO 7813). The
 * card verification value is zeros: no CVK is used for these cards.
 *
 * @param separator `=` for character dialects, `D` for packed ones
 */
export function track2Of(card: SyntheticCard, separator: '=' | 'D'): string {
  return `${card.pan}${separator}${card.expiry}${card.serviceCode}00000000`.slice(0, 37)
}

/** Whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1 annex B). */
export function passesLuhn(pan: string): boolean {
  let sum = 0
  for (let i = 0; i < pan.length; i++) {
    let digit = pan.charCodeAt(pan.length - 1 - i) - 0x30
    if (i % 2 === 1) digit = digit > 4 ? digit * 2 - 9 : digit * 2
    sum += digit
  }
  return /^[0-9]{12,19}$/.test(pan) && sum % 10 === 0
}

/** What the seed of the bank's own cards needs; PINs stay here. */
export interface DemonstrationCard {
  readonly name: string
  readonly pan: string
  readonly pvki: string
  /** Four digits, Visa PVV under demo.issuer.pvk. */
  readonly pvv: string
  readonly expiry: string
  readonly sequence: string
  readonly currency: string
  readonly openingBalanceMinor: bigint
  readonly dailyLimitMinor: bigint
}

/** The part of hsm/pkcs11/token.ts that card data need: a cipher per key label. */
export interface CipherSource {
  cipher(label: string): BlockCipher
}

/** Key under which the PVVs of the bank's own cards are made. */
export const OWN_PVK = 'demo.issuer.pvk'
export const OWN_PVKI = '1'

/** The bank's own cards with PVVs made by the token. Called once by the seed of the card table. */
export function demonstrationCards(token: CipherSource): DemonstrationCard[] {
  const pvk = token.cipher(OWN_PVK)
  return CARDS.filter((card) => card.issuer === 'own').map((card) => {
    const pin = pinOf(card)
    const pvv = visaPvv(pvk, card.pan, OWN_PVKI, pin)
    wipe(pin)
    return {
      name: card.name,
      pan: card.pan,
      pvki: OWN_PVKI,
      pvv: [...pvv].join(''),
      expiry: card.expiry,
      sequence: card.sequence,
      currency: '156',
      openingBalanceMinor: card.openingBalanceMinor,
      dailyLimitMinor: card.dailyLimitMinor,
    }
  })
}
