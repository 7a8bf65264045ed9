/**
 * Loads our own card. The authorizer looks again inside its commit; what is loaded here only tells
 * how to verify.
 */

import { refuse, type Context, type Next } from '../context.ts'
import type { Txn } from '../txn.ts'

export async function findCard(txn: Txn, context: Context): Promise<Next> {
  if (!txn.panToken || !txn.issuer) return refuse(txn, 'malfunction')
  txn.card = await context.journal.findCard(txn.panToken)
  return txn.card ? 'next' : refuse(txn, 'no_such_card')
}
