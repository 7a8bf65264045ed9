/**
 * What the journal does with requests that may be new: authorize() and intend(), and what it says
 * to repeats.
 *
 * Called by `acts.ts` for one request of a group at a time. The only place that decides about
 * duplicates. It must never do I/O; see group.ts.
 */
import { decide } from '../../cards/decide.ts'
import type { Decision } from '../../cards/decide.ts'
import type { Random } from '../runtime/random.ts'
import { bareAnswer, byteaText, DEFER, newImage } from './group.ts'
import type { CardImage, Defer, Group, TxnImage } from './group.ts'
import type {
  AuthorizeRequest,
  AuthorizeResult,
  IntentRequest,
  IntentResult,
  Occurrence,
  StoredAnswer,
  TimelineEvent,
  TxnFacts,
} from './port.ts'

const AUTH_CODES = 999_999 // 000001 to 999999: some hosts take 000000 for "none"

/** Decides and posts an on-us transaction, or says what was said before. */
export function authorize(
  group: Group,
  request: AuthorizeRequest,
  random: Random,
): AuthorizeResult | Defer {
  const { facts } = request
  const known = group.txnByKey.get(facts.businessKey)
  if (known !== undefined) {
    if (known.state !== 'reversed_unseen') return repeat(known, facts)
    const answer = refuseLateOriginal(group, known, facts, request.events)
    return answer === DEFER ? DEFER : { occurrence: 'new', answer }
  }
  const owner = group.cards.get(byteaText(facts.panToken))
  const account = owner === undefined ? undefined : group.accounts.get(owner.accountId)
  const day = owner === undefined ? undefined : group.day(owner.id, facts.businessDate)
  const decision = decide(
    {
      ...request,
      kind: facts.kind,
      amountMinor: facts.amountMinor,
      currency: facts.currency,
      businessDate: facts.businessDate,
    },
    owner === undefined ? null : owner.card,
    account === undefined ? null : account,
    day === undefined ? { usedMinor: 0, usedCount: 0 } : day,
    owner === undefined ? null : owner.dailyCountMax,
  )
  const answer = answerOf(facts, decision, account === undefined ? '' : account.currency, random)
  const image = newImage(facts, decision.approved ? 'approved' : 'declined', answer)
  image.consumedMinor = decision.consumedMinor
  image.newEvents = request.events
  if (owner !== undefined) keepEffects(group, owner, image, decision, request.counterAccount)
  group.insert({ image, facts, sent: null })
  return { occurrence: 'new', answer }
}

/** Makes an intent, or says what became of it. */
export function intend(group: Group, request: IntentRequest): IntentResult | Defer {
  const { facts } = request
  const known = group.txnByKey.get(facts.businessKey)
  if (known !== undefined) {
    if (known.state !== 'reversed_unseen') {
      const said = repeat(known, facts)
      const answer = said.occurrence === 'replay' ? said.answer : null
      return { occurrence: said.occurrence, answer }
    }
    // Nothing may be sent for it: the answer is there already, as with a repeat.
    const answer = refuseLateOriginal(group, known, facts, request.events)
    return answer === DEFER ? DEFER : { occurrence: 'replay', answer }
  }
  const image = newImage(facts, 'intent', null)
  image.destination = request.destination
  image.newEvents = request.events
  group.insert({ image, facts, sent: request })
  return { occurrence: 'new', answer: null }
}

/** What a request is told whose key is known. */
function repeat(
  known: TxnImage,
  facts: TxnFacts,
): { occurrence: Occurrence; answer: StoredAnswer } {
  if (known.bodyHash !== facts.bodyHash || known.reverseOf !== null) {
    return { occurrence: 'conflict', answer: bareAnswer('duplicate_conflict', facts.rrn) }
  }
  if (known.answer === null) {
    return { occurrence: 'in_doubt', answer: bareAnswer('issuer_unavailable', facts.rrn) }
  }
  // The money went back: to repeat the approval now would give goods without a posting.
  const partly = known.releasedMinor !== null && known.releasedMinor < known.amountMinor
  if (known.state === 'reversed' && !partly) {
    return { occurrence: 'replay', answer: bareAnswer('reversed_before', facts.rrn) }
  }
  return { occurrence: 'replay', answer: known.answer }
}

/**
 * The original came after its reversal (behaviours.md 21, 22): it is declined and recorded as such.
 */
function refuseLateOriginal(
  group: Group,
  known: TxnImage,
  facts: TxnFacts,
  events: TimelineEvent[],
): StoredAnswer | Defer {
  if (known.changed) return DEFER
  const answer = bareAnswer('reversed_before', facts.rrn)
  group.refills.push({ placeholderId: known.id, facts, answer, events })
  group.writes = true
  group.txnById.delete(known.id)
  known.id = facts.id
  known.bodyHash = facts.bodyHash
  known.state = 'declined'
  known.answer = answer
  known.changed = true
  group.txnById.set(known.id, known)
  return answer
}

function answerOf(
  facts: TxnFacts,
  decision: Decision,
  accountCurrency: string,
  random: Random,
): StoredAnswer {
  const answer = bareAnswer(decision.reason, facts.rrn)
  if (!decision.approved) return answer
  answer.authCode = String(random.below(AUTH_CODES) + 1).padStart(6, '0')
  answer.settlementDate = facts.businessDate.slice(5, 7) + facts.businessDate.slice(8, 10)
  if (facts.kind === 'balance') {
    answer.balanceMinor = decision.availableMinor
    answer.balanceCurrency = accountCurrency
  }
  return answer
}

/** PIN tries, limit and posting of a decision. */
function keepEffects(
  group: Group,
  owner: CardImage,
  image: TxnImage,
  decision: Decision,
  counterAccount: string,
): void {
  if (decision.pinTriesLeft !== null) {
    owner.card.pinTriesLeft = decision.pinTriesLeft
    owner.changed = true
  }
  if (!decision.approved || decision.direction === 'none') return
  const day = group.day(owner.id, image.businessDate)
  if (decision.consumedMinor > 0) {
    day.usedMinor += decision.consumedMinor
    day.usedCount += 1
    day.changed = true
  }
  const account = group.accounts.get(owner.accountId)
  if (account === undefined) throw new Error('approved without an account')
  const debited = decision.direction === 'debit'
  account.balanceMinor += debited ? -image.amountMinor : image.amountMinor
  const counter = { code: counterAccount }
  group.newPostings.push({
    txnId: image.id,
    debit: debited ? account.id : counter,
    credit: debited ? counter : account.id,
    amountMinor: image.amountMinor,
    currency: image.currency,
    businessDate: image.businessDate,
    reverses: null,
  })
  image.postedCount = 1
}
