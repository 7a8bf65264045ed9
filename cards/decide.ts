/**
 * The issuer's decision: card, account, what the card used today, and what the request shows, in; a
 * reason and the effects on card and limits, out.
 *
 * Pure: called inside the journal's commit (switch/journal) with rows that are locked there, and by
 * whatever else keeps cards in memory. It must never read a clock, draw chance or wait. Order of
 * the checks (first refusal wins):
 *
 *  1. a reason found before the authorizer            refusedReason
 *  2. amount and currency                             invalid_amount
 *  3. the card is not ours                            no_such_card
 *  4. its status: lost, stolen, blocked or closed     lost_card, stolen_card, restricted_card
 *  5. expired, or an expiry that is not the card's    expired_card
 *  6. cryptogram bad                                  bad_cryptogram
 *  7. no tries left, whatever the PIN                 pin_tries_exceeded
 *  8. PIN wrong, or missing where it is required      wrong_pin, pin_required
 *  9. limits of the card's day (debits)               amount_limit, count_limit
 * 10. available balance (debits)                      insufficient_funds
 * 11. cryptogram or PIN could not be checked          malfunction
 *
 * The order is that of switch/reasons.ts. 1 to 6 give the same answer for a right and a wrong PIN,
 * so nothing can be learned about the PIN from them and no try is used. From 8 on the PIN was
 * judged: a wrong one costs a try, a right one restores them, even if a later check refuses. The
 * try that uses up the counter still answers wrong_pin.
 */
import type { AuthorizeRequest, Card, TxnKind } from '../switch/journal/port.ts'

/**
 * Wrong PINs in a row before the card's PIN is blocked (ISO 9564-1: a small number; three is the
 * schemes' practice).
 */
export const PIN_TRIES_MAX = 3

/** The account behind the card; balances in minor units. */
export interface AccountView {
  currency: string // ISO 4217 numeric
  balanceMinor: number // credits minus debits
  floorMinor: number // lowest balance allowed: 0, or minus the overdraft
}

/** What the card used on the business date of the request. */
export interface DayUsage {
  usedMinor: number
  usedCount: number
}

/** How money moves: out of the customer's account, into it, or not at all. */
export type Direction = 'debit' | 'credit' | 'none'

/** The reason, and what the caller has to write when it keeps the decision. */
export interface Decision {
  reason: string // reasons.ts
  approved: boolean
  direction: Direction
  pinTriesLeft: number | null // null: unchanged
  consumedMinor: number // taken from the day's limit
  availableMinor: number | null // can be spent before this transaction; null without account
}

/** The parts of a request that matter here. */
export type DecisionInput = Pick<
  AuthorizeRequest,
  'expiry' | 'pin' | 'cryptogram' | 'pinRequired' | 'refusedReason'
> & { kind: TxnKind; amountMinor: number; currency: string; businessDate: string }

const DIRECTIONS: Record<TxnKind, Direction> = {
  purchase: 'debit',
  cash: 'debit',
  preauth: 'debit',
  completion: 'debit',
  transfer: 'debit',
  refund: 'credit',
  void: 'credit',
  deposit: 'credit',
  balance: 'none',
}

const STATUS_REASONS: Record<Card['status'], string> = {
  active: '',
  lost: 'lost_card',
  stolen: 'stolen_card',
  blocked: 'restricted_card',
  closed: 'restricted_card',
}

/** Which way a kind of transaction moves the customer's money. */
export function directionOf(kind: TxnKind): Direction {
  return DIRECTIONS[kind]
}

/**
 * Decides one transaction on the bank's own card.
 *
 * @param input what the request says and what the checks before found
 * @param card the card, or null when the PAN is not ours
 * @param account its account, or null when there is no card
 * @param day what the card used on `input.businessDate`
 * @param dailyCountMax how many debits a day, or null for any number
 */
export function decide(
  input: DecisionInput,
  card: Card | null,
  account: AccountView | null,
  day: DayUsage,
  dailyCountMax: number | null,
): Decision {
  const direction = directionOf(input.kind)
  const decision: Decision = {
    reason: '',
    approved: false,
    direction,
    pinTriesLeft: null,
    consumedMinor: 0,
    availableMinor: account === null ? null : account.balanceMinor - account.floorMinor,
  }
  decision.reason = refusalBeforePin(input, card, account)
  if (decision.reason !== '' || card === null || account === null) return decision
  judgePin(input, card, decision)
  if (decision.reason !== '') return decision
  if (direction === 'debit') {
    decision.reason = refusalOfFunds(input.amountMinor, card, account, day, dailyCountMax)
    if (decision.reason !== '') return decision
  }
  if (input.cryptogram === 'unverifiable' || input.pin === 'unverifiable') {
    decision.reason = 'malfunction' // never approve what was not checked
    return decision
  }
  if (direction === 'debit') decision.consumedMinor = input.amountMinor
  decision.reason = 'approved'
  decision.approved = true
  return decision
}

/** Checks 1 to 6: the first refusal, or empty. */
function refusalBeforePin(
  input: DecisionInput,
  card: Card | null,
  account: AccountView | null,
): string {
  if (input.refusedReason !== '') return input.refusedReason
  if (input.kind !== 'balance') {
    if (!Number.isSafeInteger(input.amountMinor) || input.amountMinor <= 0) return 'invalid_amount'
    // Accounts are kept in one currency; who converts does it before this point.
    if (account !== null && input.currency !== account.currency) return 'invalid_amount'
  }
  if (card === null || account === null) return 'no_such_card'
  if (card.status !== 'active') return STATUS_REASONS[card.status]
  if (isExpired(card.expiry, input.businessDate)) return 'expired_card'
  if (input.expiry !== '' && input.expiry !== card.expiry) return 'expired_card'
  if (input.cryptogram === 'bad') return 'bad_cryptogram'
  return ''
}

/** Checks 7 and 8: sets the reason when the PIN refuses, and the tries that are left. */
function judgePin(input: DecisionInput, card: Card, decision: Decision): void {
  if (input.pin === 'absent' && !input.pinRequired) return
  if (card.pinTriesLeft <= 0) {
    decision.reason = 'pin_tries_exceeded'
  } else if (input.pin === 'wrong') {
    decision.reason = 'wrong_pin'
    decision.pinTriesLeft = card.pinTriesLeft - 1
  } else if (input.pin === 'absent') {
    decision.reason = 'pin_required'
  } else if (input.pin === 'ok' && card.pinTriesLeft !== PIN_TRIES_MAX) {
    decision.pinTriesLeft = PIN_TRIES_MAX
  }
}

/** Checks 9 and 10: the first refusal, or empty. */
function refusalOfFunds(
  amountMinor: number,
  card: Card,
  account: AccountView,
  day: DayUsage,
  dailyCountMax: number | null,
): string {
  if (day.usedMinor + amountMinor > card.dailyLimitMinor) return 'amount_limit'
  if (dailyCountMax !== null && day.usedCount + 1 > dailyCountMax) return 'count_limit'
  if (account.balanceMinor - amountMinor < account.floorMinor) return 'insufficient_funds'
  return ''
}

/**
 * A card is good until the last day of its month.
 *
 * @param expiry YYMM of this century
 * @param businessDate YYYY-MM-DD
 */
function isExpired(expiry: string, businessDate: string): boolean {
  return `20${expiry.slice(0, 2)}-${expiry.slice(2, 4)}` < businessDate.slice(0, 7)
}
