// The issuing side that the Visa and CUPS simulators share: which answer a card gets. It decides
// from the simulator's own card list, PINs and book. It knows response codes that both networks
// have in common (14, 51, 54, 55), no message and no key of the switch.

import { equalConstantTime, wipe } from '../../hsm/algorithms/bytes.ts'
import { AlgorithmError } from '../../hsm/algorithms/errors.ts'
import { decryptPin, type PinBlockFormat } from '../../hsm/algorithms/pin-translation.ts'
import { beijing } from '../calendar.ts'
import { type CardIssuer, type SyntheticCard, cardWithPan, pinOf } from '../cards.ts'
import type { IssuerBook } from '../book.ts'
import type { WorkingKey } from '../keys.ts'

/** What a request asks of the issuer. */
export interface Question {
  readonly pan: string
  readonly amountMinor: number
  /** False for a balance inquiry. */
  readonly debit: boolean
  /** DE52, or null when the request carries no PIN. */
  readonly pinBlock: Uint8Array | null
}

export interface Decision {
  /** DE39: 00, 14 no such card, 51 funds, 54 expired, 55 PIN, 99 or 81 PIN block unreadable. */
  readonly code: string
  readonly balanceMinor: bigint
  readonly card: SyntheticCard | undefined
}

/** PIN keys in force at a zone, newest first; an older one serves requests in flight. */
export type PinKeys = readonly WorkingKey[]

export interface IssuerRules {
  readonly issuer: CardIssuer
  readonly pinFormat: PinBlockFormat
  /** DE39 when the PIN block cannot be read under any key. */
  readonly unreadablePinCode: string
}

/** Decides a request; enters nothing. `wallMs` is milliseconds since 1970 UTC. */
export function decide(
  rules: IssuerRules,
  book: IssuerBook,
  keys: PinKeys,
  question: Question,
  wallMs: number,
): Decision {
  const card = cardWithPan(question.pan)
  if (card === undefined || card.issuer !== rules.issuer) {
    return { code: '14', balanceMinor: 0n, card: undefined }
  }
  const balanceMinor = book.balanceMinor(card.pan, card.openingBalanceMinor)
  const refuse = (code: string): Decision => ({ code, balanceMinor, card })
  if (card.expiry < beijing(wallMs).longDate.slice(0, 4)) return refuse('54')
  if (question.pinBlock !== null) {
    const pin = checkPin(rules, keys, card, question.pinBlock)
    if (pin !== 'right') return refuse(pin === 'wrong' ? '55' : rules.unreadablePinCode)
  }
  if (!question.debit) return { code: '00', balanceMinor, card }
  const amount = BigInt(question.amountMinor)
  if (amount > balanceMinor) return refuse('51')
  return { code: '00', balanceMinor: balanceMinor - amount, card }
}

function checkPin(
  rules: IssuerRules,
  keys: PinKeys,
  card: SyntheticCard,
  block: Uint8Array,
): 'right' | 'wrong' | 'unreadable' {
  let verdict: 'wrong' | 'unreadable' = 'unreadable'
  const wanted = pinOf(card)
  for (const key of keys) {
    try {
      const given = decryptPin(key.pair, rules.pinFormat, block, card.pan)
      const right = equalConstantTime(given, wanted)
      wipe(given)
      if (right) {
        wipe(wanted)
        return 'right'
      }
      verdict = 'wrong'
    } catch (error) {
      if (!(error instanceof AlgorithmError)) throw error
    }
  }
  wipe(wanted)
  return verdict
}

/** DE54 group: account type, balance type, currency, sign, amount (20 characters). */
export function balanceGroup(balanceType: '01' | '02', currency: string, minor: bigint): string {
  const sign = minor < 0n ? 'D' : 'C'
  const digits = (minor < 0n ? -minor : minor).toString().padStart(12, '0')
  return `10${balanceType}${currency.slice(-3).padStart(3, '0')}${sign}${digits}`
}

/** A six-digit authorisation code from the book's running count of approvals. */
export function authorisationCode(count: number): string {
  return String((count % 999_999) + 1).padStart(6, '0')
}
