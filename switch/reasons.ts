/**
 * Every reason a transaction can end with. Steps name one; dialect files map each to a response
 * code.
 *
 * The order is the precedence: when two checks would refuse, the earlier line is the one that is
 * answered. A reason is approved or not, and says whether the originator may sensibly try again.
 * docs/reference/reasons.md lists the same words (a test compares them). Sources for the meanings:
 * iso8583.md section 8, cups-host.md section 10.
 */

export interface ReasonInfo {
  approved: boolean
  text: string
}

const approved = (text: string): ReasonInfo => ({ approved: true, text })
const declined = (text: string): ReasonInfo => ({ approved: false, text })

export const REASONS = {
  approved: approved('approved'),
  format_error: declined('message does not hold what its type requires'),
  bad_mac: declined('message authentication failed; nothing else was looked at'),
  not_signed_on: declined('the sender has not signed on'),
  unknown_terminal: declined('terminal is not registered here'),
  duplicate_conflict: declined('same key as an earlier request, another content'),
  duplicate_in_progress: declined('same request is being worked on and too many wait for it'),
  unsupported_transaction: declined('this kind of transaction is not offered'),
  invalid_amount: declined('amount is zero, not a number or out of range'),
  no_such_issuer: declined('no route for this card number'),
  no_route: declined('a route exists but not for this sender'),
  overload: declined('more requests than the switch accepts at once'),
  reversed_before: declined('a reversal of this request came first'),
  no_such_card: declined('card number is not on file'),
  lost_card: declined('card reported lost'),
  stolen_card: declined('card reported stolen'),
  restricted_card: declined('card is blocked or closed'),
  expired_card: declined('card has expired'),
  bad_cryptogram: declined('chip cryptogram is wrong'),
  pin_tries_exceeded: declined('too many wrong PINs'),
  wrong_pin: declined('PIN is wrong'),
  pin_required: declined('PIN is missing'),
  pin_format: declined('PIN block is not well formed'),
  security_violation: declined('a security check failed'),
  amount_limit: declined('over the amount limit of the card'),
  count_limit: declined('over the count limit of the card'),
  insufficient_funds: declined('not enough funds'),
  original_not_found: declined('the transaction referred to is not known'),
  do_not_honour: declined('declined by the issuer without a closer word'),
  refer_to_issuer: declined('the issuer wants to be asked'),
  pick_up: declined('the issuer wants the card kept'),
  invalid_merchant: declined('merchant is not known or not allowed'),
  invalid_card: declined('card number is not valid'),
  invalid_transaction: declined('transaction is not valid for the issuer'),
  not_permitted_card: declined('not permitted to this card'),
  not_permitted_terminal: declined('not permitted at this terminal'),
  suspected_fraud: declined('suspected fraud'),
  partial_approval: declined('approved for less than asked; not taken, reversed'),
  unmapped_decline: declined('the network answered with a code that is not in the table'),
  token_unavailable: declined('the security module does not answer'),
  issuer_unavailable: declined('the issuer or its network cannot be reached'),
  timeout: declined('no answer in time; the request is being reversed'),
  malfunction: declined('something in the switch failed'),
} as const satisfies Record<string, ReasonInfo>

/** One of the reasons above. */
export type Reason = keyof typeof REASONS

/** All reasons in order of precedence. */
export const REASON_NAMES = Object.keys(REASONS) as Reason[]

/** True when `word` is a reason; the database and the dialect files hold plain text. */
export function isReason(word: string): word is Reason {
  return Object.hasOwn(REASONS, word)
}

/** True when the money moved. A word that is no reason counts as declined. */
export function isApproved(word: string): boolean {
  return isReason(word) && REASONS[word].approved
}
