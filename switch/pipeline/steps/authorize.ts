/**
 * Decides and posts in one commit. Our own cards only; the decision itself is cards/decide.ts
 * inside the journal.
 */

import type { TxnKind } from '../../journal/port.ts'
import { isReason } from '../../reasons.ts'
import { crashPoint } from '../../runtime/crash-point.ts'
import { refuse, type Context, type Next } from '../context.ts'
import { counterAccountOf, factsOf } from '../facts.ts'
import type { Txn } from '../txn.ts'

const OFFERED: ReadonlySet<TxnKind | string> = new Set(['purchase', 'cash', 'balance'])

/**
 * Cash and balances always need a PIN; a purchase needs one unless the chip proved itself. A card
 * number or a copied stripe alone is never enough.
 */
function needsPin(txn: Txn): boolean {
  return txn.kind !== 'purchase' || txn.cryptogramFound !== 'ok'
}

export async function authorize(txn: Txn, context: Context): Promise<Next> {
  if (!txn.kind || !OFFERED.has(txn.kind)) return refuse(txn, 'unsupported_transaction')
  crashPoint('authorize.before_commit')
  const result = await context.journal.authorize({
    facts: factsOf(txn, context),
    counterAccount: counterAccountOf(txn),
    expiry: txn.expiry,
    pin: txn.pinFound,
    cryptogram: txn.cryptogramFound,
    pinRequired: needsPin(txn),
    refusedReason: '',
    events: txn.events.splice(0),
  })
  crashPoint('authorize.after_commit')
  txn.note(context.clock.wallMs(), 'authorizer.decided', result.answer.reason)
  switch (result.occurrence) {
    case 'conflict':
      return refuse(txn, 'duplicate_conflict')
    case 'in_doubt':
      return refuse(txn, 'malfunction')
    case 'replay':
      txn.replayed = true
      txn.answer = result.answer
      return 'next'
    case 'new': {
      txn.journaled = true
      const reason = result.answer.reason
      if (!isReason(reason)) return refuse(txn, 'malfunction')
      txn.answer = result.answer
      return 'next'
    }
  }
}
