/**
 * Does the message hold what its type requires? First step of every request that carries a
 * transaction.
 *
 * Field lists are the dialect's (`meaning.requests`); consistency rules are behaviours.md H54 and
 * H55.
 */

import { AMOUNT_MINOR_MAX } from '../../limits.ts'
import { refuse, type Context, type Next } from '../context.ts'
import type { Txn } from '../txn.ts'

const AMOUNTLESS = new Set(['balance', 'terminal_sign_on', 'terminal_control', 'key_exchange'])
const CARDLESS = new Set(['terminal_sign_on', 'terminal_control', 'key_exchange'])

export function checkFormat(txn: Txn, _context: Context): Next {
  if (!txn.kind) return refuse(txn, 'unsupported_transaction')
  const view = txn.message.view
  const mandatory = txn.link.settings.meaning.requests[view.mti]?.mandatory ?? []
  for (const field of mandatory) {
    if (!view.has(field)) {
      txn.note(txn.message.receivedAtMs, 'format.refused', `field ${field} is missing`)
      return refuse(txn, 'format_error')
    }
  }
  if (!CARDLESS.has(txn.kind)) {
    // A terminal's reversal leaves tracks out and may so have no PAN: its original is found by key.
    const named = txn.pan ? /^[0-9]{12,19}$/.test(txn.pan.reveal()) : txn.kind === 'reversal'
    if (!named) return refuse(txn, 'format_error')
    if (!trackAgrees(txn)) return refuse(txn, 'format_error')
  }
  if (AMOUNTLESS.has(txn.kind)) return 'next'
  const amount = txn.amountMinor
  if (!Number.isSafeInteger(amount) || amount <= 0 || amount > AMOUNT_MINOR_MAX) {
    return refuse(txn, 'invalid_amount')
  }
  return 'next'
}

/** Track 2 must carry the PAN of DE2 and, when both give one, the expiry of DE14. */
function trackAgrees(txn: Txn): boolean {
  if (!txn.track2 || !txn.pan) return true
  const [digits = '', rest = ''] = txn.track2.reveal().split(/[=D]/)
  if (digits !== txn.pan.reveal()) return false
  const expiry = rest.slice(0, 4)
  if (txn.expiry === '' || txn.expiry === '0000') txn.expiry = expiry.length === 4 ? expiry : ''
  return txn.expiry === '' || expiry.length < 4 || txn.expiry === expiry
}
