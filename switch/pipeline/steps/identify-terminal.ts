/**
 * Which registered terminal sent this? Requests on terminal links only; a scheme speaks for its own
 * terminals.
 */

import { refuse, terminalKey, type Context, type Next } from '../context.ts'
import type { Txn } from '../txn.ts'

export function identifyTerminal(txn: Txn, context: Context): Next {
  if (txn.link.settings.role !== 'terminals') return 'next'
  const terminal = context.terminals.get(
    terminalKey(txn.link.settings.name, txn.terminalId.trim()),
  )
  if (!terminal) return refuse(txn, 'unknown_terminal')
  txn.terminal = terminal
  const merchant = txn.merchantId.trim()
  if (merchant !== '' && merchant !== terminal.merchant) return refuse(txn, 'invalid_merchant')
  return 'next'
}
