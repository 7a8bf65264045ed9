/**
 * Gives the transaction its identity: card token, body hash, business date, retrieval reference
 * number.
 */

import { refuse, type Context, type Next } from '../context.ts'
import { bodyHashOf } from '../read-request.ts'
import type { Txn } from '../txn.ts'

export function identifyCard(txn: Txn, context: Context): Next {
  txn.panToken = txn.pan ? context.vault.token(txn.pan) : new Uint8Array(32)
  txn.bodyHash = bodyHashOf(txn)
  txn.businessDate = context.calendar.businessDate()
  if (txn.currency === '') txn.currency = '156'
  let rrn = txn.rrn.trim()
  if (rrn === '' || /^0+$/.test(rrn)) {
    const number = context.numbers.take('rrn')
    if (number === null) return refuse(txn, 'malfunction')
    rrn = context.calendar.rrnPrefix() + number
  }
  txn.answer = { ...txn.answer, networkRrn: rrn }
  return 'next'
}
