/**
 * Makes the intent durable before any byte leaves for another institution (design.md section 5,
 * rule 5).
 *
 * After a crash every intent without outcome becomes a reversal; so nothing may leave before this
 * step passed.
 */

import { refuse, type Context, type Next } from '../context.ts'
import { factsOf } from '../facts.ts'
import { isReason } from '../../reasons.ts'
import { crashPoint } from '../../runtime/crash-point.ts'
import type { Txn } from '../txn.ts'

/**
 * Fixes every value that would otherwise be made up when a message is built: a reversal made later
 * must name the original as it was sent (cups-host.md section 12).
 */
function settleWhatLeaves(txn: Txn, context: Context): void {
  const { terminal } = txn
  txn.localTime ||= context.calendar.localTime()
  txn.localDate ||= context.calendar.localDate()
  if (!terminal) return
  txn.mcc ||= terminal.mcc
  txn.merchantId ||= terminal.merchant
  txn.location ??= Buffer.from(terminal.name.padEnd(40), 'latin1')
}

export async function journalIntent(txn: Txn, context: Context): Promise<Next> {
  const link = context.links.get(txn.route)
  const mti = txn.kind ? link?.settings.meaning.forward_mti[txn.kind] : undefined
  if (!link || !mti) return refuse(txn, 'unsupported_transaction')
  const stan = context.numbers.take(`stan.${txn.route}`)
  if (stan === null) return refuse(txn, 'malfunction')
  settleWhatLeaves(txn, context)
  txn.sentMti = mti
  txn.sentStan = stan
  txn.sentTransmissionAt = context.calendar.transmission(link.settings.meaning.transmission_time)
  crashPoint('intent.before_commit')
  const result = await context.journal.intend({
    facts: factsOf(txn, context),
    destination: txn.route,
    sentMti: mti,
    sentStan: stan,
    sentTransmissionAt: txn.sentTransmissionAt,
    sentKey: `${mti}/${txn.sentTransmissionAt}/${stan}`,
    events: txn.events.splice(0),
  })
  crashPoint('intent.after_commit')
  if (result.occurrence === 'new') {
    txn.journaled = true
    txn.note(context.clock.wallMs(), 'intent.committed', txn.route)
    return 'next'
  }
  if (result.occurrence === 'conflict') return refuse(txn, 'duplicate_conflict')
  if (result.occurrence === 'replay' && result.answer && isReason(result.answer.reason)) {
    txn.replayed = true
    txn.answer = result.answer
    txn.answerIcc = result.answer.iccHex ? Buffer.from(result.answer.iccHex, 'hex') : null
    return 'answer'
  }
  return refuse(txn, 'timeout') // in doubt: an earlier life sent it and it is being reversed
}
