/**
 * Undoes the original of a reversal, once, however often it is asked (behaviours.md C20 to C23).
 *
 * The journal decides: done now, done before, nothing to undo, or never seen (then remembered, so
 * that a late original is refused). All of them are accepted towards the sender; only a database
 * that cannot say is not.
 */

import { crashPoint } from '../../runtime/crash-point.ts'
import { refuse, type Context, type Next } from '../context.ts'
import { factsOf } from '../facts.ts'
import type { Txn } from '../txn.ts'

export async function reverseOriginal(txn: Txn, context: Context): Promise<Next> {
  crashPoint('reversal.before_commit')
  const result = await context.journal.reverse({
    facts: factsOf(txn, context),
    originalKey: txn.originalKey,
    reversedAmountMinor: txn.reversedAmountMinor,
    onlyTxnId: null,
    events: txn.events.splice(0),
  })
  crashPoint('reversal.after_commit')
  txn.note(context.clock.wallMs(), 'reversal.recorded', result.outcome)
  if (result.occurrence === 'conflict') return refuse(txn, 'duplicate_conflict')
  txn.replayed = result.occurrence === 'replay'
  txn.journaled = result.occurrence === 'new'
  const { observer } = context
  if (result.outcome === 'mismatch') {
    observer.reversalMismatched(txn.link.settings.name, txn.id)
    return refuse(txn, 'original_not_found')
  }
  if (result.outcome === 'unseen') observer.reversalUnseen(txn.link.settings.name, txn.id)
  const original = result.original
  if (original) {
    txn.route = original.route
    if (original.route !== 'on_us' && result.outcome === 'reversed') {
      context.observer.reversalQueued(original.route, original.txnId, 'terminal_request')
      context.wakeSaf(original.route)
    }
    const rrn = original.answer?.networkRrn
    if (rrn) txn.answer = { ...txn.answer, networkRrn: rrn }
  }
  txn.answer = { ...txn.answer, reason: 'approved' }
  return 'answer'
}
