/**
 * What the journal does with outcomes: conclude(), reverse(), note() and the life of
 * store-and-forward rows.
 *
 * Called by `acts.ts` for one request of a group at a time. The only place that decides what a
 * reversal undoes and what an outcome posts. It must never do I/O; see group.ts.
 */
import { bareAnswer, DEFER, newImage, RefusedRequest, StaleRead } from './group.ts'
import type { AccountRef, Defer, Group, PostingImage, SafChange, TxnImage } from './group.ts'
import type {
  Movement,
  OutcomeRequest,
  OutcomeResult,
  ReversalCause,
  ReverseOutcome,
  ReverseRequest,
  ReverseResult,
  TimelineEvent,
} from './port.ts'
import { byteaText } from './group.ts'

/** Bears what a customer owes when a credit is undone that was spent meanwhile. */
export const SHORTFALL_ACCOUNT = 'suspense:reversal_shortfall'

/** Records how an intent ended; an outcome that comes second changes nothing. */
export function conclude(group: Group, request: OutcomeRequest): OutcomeResult | Defer {
  const txn = group.txnById.get(request.txnId)
  if (txn === undefined) throw new RefusedRequest('conclude: unknown transaction')
  if (txn.changed) return DEFER
  if (txn.state !== 'intent') return { applied: false, state: txn.state }
  const wanted = txn.releaseWantedMinor
  const undone = request.state === 'approved' && wanted !== null
  txn.state = undone ? 'reversed' : request.state
  txn.answer = request.answer
  txn.changed = true
  txn.newEvents.push(...request.events)
  group.touch(txn)
  if (undone) {
    // A reversal waited for this outcome: only what it leaves over is posted.
    txn.releasedMinor = wanted
    post(group, txn, lessen(request.movements, wanted))
    queueReversal(group, txn, 'terminal_request')
    txn.newEvents.push(event(group, 'reversal.applied', 'waited_for_outcome'))
    return { applied: false, state: 'reversed' }
  }
  if (request.state === 'approved') post(group, txn, request.movements)
  if (request.reversal !== null) queueReversal(group, txn, request.reversal)
  return { applied: true, state: txn.state }
}

/**
 * Undoes an original once. The reversal message is a row of its own, so that its repeats are told
 * the same.
 */
export function reverse(
  group: Group,
  request: ReverseRequest,
  placeholderId: () => string,
): ReverseResult | Defer {
  const { facts } = request
  const original = group.txnByKey.get(request.originalKey)
  const seen = group.txnByKey.get(facts.businessKey)
  if (seen !== undefined) {
    const same = seen.bodyHash === facts.bodyHash && seen.reverseOf === request.originalKey
    const outcome = seen.reverseOutcome ?? 'declined_original'
    return { occurrence: same ? 'replay' : 'conflict', outcome, original: describe(original) }
  }
  const outcome = agrees(original, request) ? outcomeOf(original) : 'mismatch'
  const changes = outcome === 'reversed' || outcome === 'pending'
  if (original !== undefined && original.changed && changes) return DEFER
  if (original === undefined) rememberUnseen(group, request, placeholderId())
  else if (outcome === 'reversed') undo(group, original, request)
  else if (outcome === 'pending') wish(group, original, request)

  const image = newImage(facts, 'approved', bareAnswer('approved', facts.rrn))
  image.reverseOf = request.originalKey
  image.reverseOutcome = outcome
  image.newEvents = request.events
  group.insert({ image, facts, sent: null })
  return { occurrence: 'new', outcome, original: describe(original) }
}

/** Adds events; may share a group with anything. */
export function note(group: Group, txnId: string, events: TimelineEvent[]): void {
  const txn = group.txnById.get(txnId)
  if (txn === undefined) throw new RefusedRequest('note: unknown transaction')
  if (events.length === 0) return
  txn.newEvents.push(...events)
  group.touch(txn)
}

/** Attempt, acknowledgement or parking of a store-and-forward row. */
export function changeSaf(group: Group, change: SafChange): undefined | Defer {
  if (group.safChanges.has(change.id)) return DEFER
  group.safChanges.set(change.id, change)
  group.writes = true
  return undefined
}

function outcomeOf(original: TxnImage | undefined): ReverseOutcome {
  if (original === undefined) return 'unseen'
  if (original.reverseOf !== null) return 'declined_original' // a reversal itself is not undone
  switch (original.state) {
    case 'approved':
      return 'reversed'
    case 'intent':
      return original.releaseWantedMinor === null ? 'pending' : 'already'
    case 'declined':
    case 'not_sent':
      return 'declined_original'
    case 'timed_out': // its reversal was queued with the time-out
    case 'reversed':
    case 'reversed_unseen':
      return 'already'
  }
}

/**
 * A reversal must name card and amount of its original where it carries them (cups-host.md section
 * 13: DE90 plus DE2 and DE4), and the very transaction where the caller says so.
 */
function agrees(original: TxnImage | undefined, request: ReverseRequest): boolean {
  if (original === undefined) return true
  const { facts, onlyTxnId } = request
  if (onlyTxnId !== null && original.id !== onlyTxnId) return false
  const noCard = facts.panMasked === ''
  if (!noCard && original.token !== byteaText(facts.panToken)) return false
  return facts.amountMinor === 0 || facts.amountMinor === original.amountMinor
}

function describe(original: TxnImage | undefined): ReverseResult['original'] {
  if (original === undefined) return null
  const { id, state, route, answer } = original
  return { txnId: id, state, route, answer }
}

/** Keeps the key of an original that never came, so that it is refused when it comes. */
function rememberUnseen(group: Group, request: ReverseRequest, id: string): void {
  const facts = { ...request.facts, id, businessKey: request.originalKey, bodyHash: '' }
  const image = newImage(facts, 'reversed_unseen', null)
  group.insert({ image, facts, sent: null })
}

/** The original has no outcome yet; conclude() and recover() look at the wish. */
function wish(group: Group, original: TxnImage, request: ReverseRequest): void {
  original.releaseWantedMinor = releasedBy(request, original)
  original.changed = true
  original.newEvents.push(event(group, 'reversal.waiting', request.facts.stan))
  group.touch(original)
}

/**
 * Inverse postings, limit of the original's day, and the scheme's reversal when the original left.
 */
function undo(group: Group, original: TxnImage, request: ReverseRequest): void {
  const postings = group.postings.get(original.id) ?? []
  if (postings.length !== original.postedCount) throw new StaleRead('postings of the original')
  const released = releasedBy(request, original)
  const full = released >= original.amountMinor
  let rest = full ? Number.MAX_SAFE_INTEGER : released
  for (const posting of postings) {
    const amount = Math.min(rest, posting.amountMinor)
    if (amount <= 0) break
    if (!full) rest -= amount
    undoPosting(group, original, posting, amount, request.facts.businessDate)
  }
  restoreDay(group, original, released, full)
  original.state = 'reversed'
  original.releasedMinor = released
  original.changed = true
  original.newEvents.push(event(group, 'reversal.applied', full ? 'full' : 'partial'))
  group.touch(original)
  if (original.destination !== '') queueReversal(group, original, 'terminal_request')
}

function releasedBy(request: ReverseRequest, original: TxnImage): number {
  if (request.reversedAmountMinor === null) return original.amountMinor
  return Math.min(request.reversedAmountMinor, original.amountMinor)
}

function undoPosting(
  group: Group,
  original: TxnImage,
  posting: PostingImage,
  amountMinor: number,
  businessDate: string,
): void {
  let debit: AccountRef = posting.creditAccount
  const giver = group.accounts.get(posting.creditAccount)
  if (giver !== undefined) {
    if (giver.balanceMinor - amountMinor < giver.floorMinor) {
      debit = { code: SHORTFALL_ACCOUNT }
      original.newEvents.push(event(group, 'reversal.shortfall', String(amountMinor)))
    } else {
      giver.balanceMinor -= amountMinor
    }
  }
  const taker = group.accounts.get(posting.debitAccount)
  if (taker !== undefined) taker.balanceMinor += amountMinor
  group.newPostings.push({
    txnId: original.id,
    debit,
    credit: posting.debitAccount,
    amountMinor,
    currency: posting.currency,
    businessDate,
    reverses: posting.id,
  })
}

/** Gives back what the original took, in the bucket of its own business date (behaviours.md 70). */
function restoreDay(group: Group, original: TxnImage, released: number, full: boolean): void {
  if (original.consumedMinor === 0) return
  const owner = group.cards.get(original.token)
  if (owner === undefined) throw new StaleRead('card of the original')
  const day = group.day(owner.id, original.businessDate)
  day.usedMinor = Math.max(0, day.usedMinor - Math.min(released, original.consumedMinor))
  if (full) day.usedCount = Math.max(0, day.usedCount - 1)
  day.changed = true
}

function queueReversal(group: Group, txn: TxnImage, cause: ReversalCause): void {
  const partly = txn.releasedMinor !== null && txn.releasedMinor < txn.amountMinor
  group.newSafs.push({
    destination: txn.destination,
    cause,
    txnId: txn.id,
    token: txn.token,
    releasedMinor: partly ? txn.releasedMinor : null,
  })
}

function post(group: Group, txn: TxnImage, movements: Movement[]): void {
  for (const movement of movements) {
    group.newPostings.push({
      txnId: txn.id,
      debit: { code: movement.debit },
      credit: { code: movement.credit },
      amountMinor: movement.amountMinor,
      currency: movement.currency,
      businessDate: txn.businessDate,
      reverses: null,
    })
  }
  txn.postedCount = movements.length
}

/** Movements without the first `released` minor units. */
function lessen(movements: Movement[], released: number): Movement[] {
  const left: Movement[] = []
  let rest = released
  for (const movement of movements) {
    const taken = Math.min(rest, movement.amountMinor)
    rest -= taken
    const amountMinor = movement.amountMinor - taken
    if (amountMinor > 0) left.push({ ...movement, amountMinor })
  }
  return left
}

function event(group: Group, what: string, detail: string): TimelineEvent {
  return { atMs: group.nowMs, what, detail }
}
