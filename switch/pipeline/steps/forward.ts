/**
 * Sends the request to its network, waits for the answer, and records the outcome before anybody is
 * told.
 *
 * The one place where an answer, a time-out, a lost line and a request that never left are told
 * apart (behaviours.md B15): only what certainly did not leave is a plain decline; what may have
 * left is reversed in the same commit that records it.
 */

import type { AnswerHandler, Link, Message } from '../../link/contract.ts'
import {
  isOutcomeUnknown, type OutcomeRequest, type ReversalCause,
} from '../../journal/port.ts'
import { ANSWER_MARGIN_MS, FORWARD_BUDGET_MS_MIN, REPLY_TIMEOUT_MS_MAX } from '../../limits.ts'
import { isApproved, type Reason } from '../../reasons.ts'
import { crashPoint } from '../../runtime/crash-point.ts'
import { refuse, type Context, type Next } from '../context.ts'
import { acquirerMovements } from '../facts.ts'
import { verifyMacInOverlap } from '../key-overlap.ts'
import { macInput, macOf, MacTarget } from '../mac.ts'
import type { MessageBuilder } from '../build-message.ts'
import { iccOf, type Reader } from '../read-request.ts'
import type { Txn } from '../txn.ts'

/** The cause with which a link ends a request that the network sent back unread. */
const REJECTED = 'rejected_by_network'

type Ending =
  | { kind: 'answered'; message: Message }
  | { kind: 'timed_out' }
  | { kind: 'lost' }
  | { kind: 'rejected' } // the network sent it back unread: certainly not processed
  | { kind: 'not_sent'; why: string }

/** What each link speaks; given once by main.ts through flows.ts. */
export interface Speech {
  builders: ReadonlyMap<string, MessageBuilder>
  readers: ReadonlyMap<string, Reader>
}

/** The step, for the dialects of this switch. */
export function forwardWith({ builders, readers }: Speech) {
  return async function forward(txn: Txn, context: Context): Promise<Next> {
    const link = context.links.get(txn.route)
    const builder = builders.get(txn.route)
    if (!link || !builder) return refuse(txn, 'malfunction')
    const ending = await exchange(txn, context, link, builder)
    switch (ending.kind) {
      case 'not_sent':
        crashPoint('leg.after_not_sent')
        txn.note(context.clock.wallMs(), 'leg.not_sent', ending.why)
        return conclude(txn, context, 'not_sent', 'issuer_unavailable', null)
      case 'timed_out':
        crashPoint('leg.after_timed_out')
        txn.note(context.clock.wallMs(), 'leg.timed_out', txn.route)
        return unknown(txn, context, 'timeout', 'timeout')
      case 'lost':
        crashPoint('leg.after_lost')
        txn.note(context.clock.wallMs(), 'leg.lost', txn.route)
        return unknown(txn, context, 'issuer_unavailable', 'link_lost')
      case 'rejected':
        txn.note(context.clock.wallMs(), 'leg.rejected', txn.route)
        return conclude(txn, context, 'declined', 'malfunction', null)
      case 'answered':
        try {
          return await takeAnswer(txn, context, builder, readers, ending.message)
        } finally {
          ending.message.release()
        }
    }
  }
}

/**
 * The outcome at the network is not known: recorded together with its reversal. An inquiry moved
 * nothing, so there is nothing to reverse (cups-host.md section 13).
 */
function unknown(
  txn: Txn,
  context: Context,
  reason: Reason,
  cause: ReversalCause,
): Promise<Next> {
  if (txn.kind === 'balance') return conclude(txn, context, 'declined', reason, null)
  return conclude(txn, context, 'timed_out', reason, cause)
}

async function exchange(
  txn: Txn,
  context: Context,
  link: Link,
  builder: MessageBuilder,
): Promise<Ending> {
  const deadline = deadlineOf(txn, context)
  if (deadline - context.clock.monotonicMs() < FORWARD_BUDGET_MS_MIN) {
    return { kind: 'not_sent', why: 'too_old' }
  }
  let frame: Buffer
  try {
    frame = builder.request(txn.sentMti, txn, context)
  } catch (error) {
    context.observer.failed('build', error)
    return { kind: 'not_sent', why: 'not_built' }
  }
  const rule = builder.macRule(txn.sentMti)
  if (rule) {
    const target = new MacTarget(rule, builder.dialect, frame)
    const key = context.profiles.get(txn.route)?.macKey ?? ''
    const data = target.input()
    const mac = await context.hsm.generateMac({ key, algorithm: rule.algorithm, data })
    if (mac.outcome !== 'ok') return { kind: 'not_sent', why: mac.outcome }
    target.place(mac.value)
  }
  return send(txn, context, link, frame, deadline)
}

/**
 * The moment after which an answer is of no use: the link's own timeout, and the terminal's wait
 * less our margin.
 */
function deadlineOf(txn: Txn, context: Context): number {
  const reply = context.profiles.get(txn.route)?.replyTimeoutMs ?? REPLY_TIMEOUT_MS_MAX
  const wait = context.profiles.get(txn.link.settings.name)?.terminalWaitMs ?? 0
  const budget = wait > 0 ? wait - ANSWER_MARGIN_MS : REPLY_TIMEOUT_MS_MAX
  return txn.message.receivedMono + Math.min(reply, budget)
}

function send(
  txn: Txn,
  context: Context,
  link: Link,
  frame: Buffer,
  deadline: number,
): Promise<Ending> {
  return new Promise((resolve) => {
    const handler: AnswerHandler = {
      answered: (message) => resolve({ kind: 'answered', message }),
      timedOut: () => resolve({ kind: 'timed_out' }),
      lost: (cause) => resolve({ kind: cause === REJECTED ? 'rejected' : 'lost' }),
    }
    crashPoint('leg.before_send')
    const sent = link.send(frame, txn.id, deadline, handler)
    crashPoint('leg.after_send')
    if (sent === 'sent') txn.note(context.clock.wallMs(), 'leg.sent', `${txn.route} ${txn.sentMti}`)
    else resolve({ kind: 'not_sent', why: sent })
  })
}

async function takeAnswer(
  txn: Txn,
  context: Context,
  builder: MessageBuilder,
  readers: Speech['readers'],
  message: Message,
): Promise<Next> {
  crashPoint('leg.after_answered')
  const view = message.view
  const code = view.text(builder.meaning.response_code_field)
  txn.note(message.receivedAtMs, 'leg.answered', `${view.mti} ${code}`)
  if (!(await answerMacGood(txn, context, builder, message))) {
    return unknown(txn, context, 'issuer_unavailable', 'bad_answer_mac')
  }
  let reason: Reason | null = builder.reasonFor(code)
  if (!reason) {
    context.observer.unmappedCode(txn.route, code)
    reason = 'unmapped_decline'
  }
  txn.answer = {
    ...txn.answer,
    reason,
    authCode: view.text(38),
    settlementDate: view.text(15).slice(-4), // MMDD; 1993 puts the year before it
    iccHex: '',
  }
  readBalance(txn, view.text(54))
  const reader = readers.get(txn.route)
  txn.answerIcc = reader && view.has(55) ? iccOf(view, 55, reader.iccForm) : null
  if (txn.answerIcc) txn.answer.iccHex = Buffer.from(txn.answerIcc).toString('hex').toUpperCase()
  if (isApproved(reason)) return conclude(txn, context, 'approved', reason, null)
  // A code that may mean that money moved is no decline: it is undone like a missing answer.
  const uncertain =
    reason === 'unmapped_decline' ||
    reason === 'partial_approval' ||
    builder.meaning.uncertain.includes(code)
  if (uncertain) return unknown(txn, context, reason, 'timeout')
  return conclude(txn, context, 'declined', reason, null)
}

async function answerMacGood(
  txn: Txn,
  context: Context,
  builder: MessageBuilder,
  message: Message,
): Promise<boolean> {
  const rule = builder.macRule(txn.sentMti)
  if (!rule || rule.answers === 'never') return true
  const mac = macOf(rule, message.view)
  if (!mac) return false
  const result = await verifyMacInOverlap(context.hsm, context.overlap, {
    key: context.profiles.get(txn.route)?.macKey ?? '',
    algorithm: rule.algorithm,
    data: Uint8Array.from(macInput(rule, message.view)),
    mac,
  })
  txn.note(context.clock.wallMs(), 'token.verify_answer_mac', result.outcome)
  return result.outcome === 'ok'
}

/** Records the outcome; the answer may leave only after this. */
async function conclude(
  txn: Txn,
  context: Context,
  state: OutcomeRequest['state'],
  reason: Reason,
  reversal: ReversalCause | null,
): Promise<Next> {
  txn.answer = { ...txn.answer, reason }
  try {
    crashPoint('outcome.before_commit')
    const result = await context.journal.conclude({
      txnId: txn.id,
      state,
      answer: txn.answer,
      movements: state === 'approved' ? acquirerMovements(txn) : [],
      reversal,
      events: txn.events.splice(0),
    })
    crashPoint('outcome.after_commit')
    if (reversal) {
      context.observer.reversalQueued(txn.route, txn.id, reversal)
      context.wakeSaf(txn.route)
    }
    crashPoint('outcome.after_told')
    if (!result.applied) return refuse(txn, 'timeout') // something else settled it first
    return 'answer'
  } catch (error) {
    context.observer.failed('journal.conclude', error)
    txn.silent = isOutcomeUnknown(error)
    context.unsettled(txn)
    return refuse(txn, 'malfunction') // never an approval without a durable record
  }
}

/** DE54 of twenty characters per block: the available balance (type 02) when it is there. */
function readBalance(txn: Txn, text: string): void {
  for (let at = 0; at + 20 <= text.length; at += 20) {
    const block = text.slice(at, at + 20)
    const amount = Number(block.slice(8))
    if (!Number.isSafeInteger(amount)) continue
    const available = block.slice(2, 4) === '02'
    if (txn.answer.balanceMinor !== null && !available) continue
    const balanceMinor = block[7] === 'D' ? -amount : amount
    txn.answer = { ...txn.answer, balanceMinor, balanceCurrency: block.slice(4, 7) }
  }
}
