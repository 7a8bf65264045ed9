/**
 * What the journal is told of a transaction, and which accounts its money moves between.
 *
 * Used by the steps that journal. Account roles are the chart of accounts of an acquirer and issuer
 * in one house: `merchant:ID` and `atm:ID` are owed or hold cash, `payable:LINK` is owed to a
 * network, `receivable:LINK` owed by it.
 */

import type { Movement, TxnFacts, TxnKind } from '../journal/port.ts'
import type { Context } from './context.ts'
import { recordOf, type Txn } from './txn.ts'

/** The row of a transaction; a reversal is stored with the kind it undoes unknown, so as `void`. */
export function factsOf(txn: Txn, context: Context): TxnFacts {
  return {
    id: txn.id,
    businessKey: txn.businessKey,
    bodyHash: txn.bodyHash,
    kind: rowKind(txn),
    sourceLink: txn.link.settings.name,
    route: txn.route,
    mti: txn.message.view.mti,
    stan: txn.stan,
    rrn: txn.answer.networkRrn,
    terminalId: txn.terminalId.trim(),
    merchantId: (txn.merchantId.trim() || txn.terminal?.merchant) ?? '',
    panToken: txn.panToken ?? new Uint8Array(32),
    panMasked: txn.pan?.masked ?? '',
    panSealed: txn.pan ? context.vault.seal(txn.pan) : new Uint8Array(0),
    amountMinor: txn.kind === 'balance' ? 0 : txn.amountMinor,
    currency: txn.currency,
    businessDate: txn.businessDate,
    receivedAt: txn.message.receivedAtMs,
    record: recordOf(txn),
  }
}

function rowKind(txn: Txn): TxnKind {
  switch (txn.kind) {
    case 'reversal':
    case 'terminal_sign_on':
    case 'terminal_control':
    case 'key_exchange':
    case null:
      return 'void'
    default:
      return txn.kind
  }
}

/** The account on our side of the counter: where the cash came from or who sold the goods. */
export function counterAccountOf(txn: Txn): string {
  if (txn.link.settings.role === 'scheme') return `payable:${txn.link.settings.name}`
  if (txn.kind === 'cash') return `atm:${txn.terminalId.trim()}`
  return `merchant:${txn.merchantId.trim() || (txn.terminal?.merchant ?? '')}`
}

/** What an approval from a network moves: the network owes us, we owe the counter. */
export function acquirerMovements(txn: Txn): Movement[] {
  if (txn.kind === 'balance' || txn.amountMinor === 0) return []
  return [
    {
      debit: `receivable:${txn.route}`,
      credit: counterAccountOf(txn),
      amountMinor: txn.amountMinor,
      currency: txn.currency,
    },
  ]
}
