/**
 * Which PIN block format a message carries: the link's, and on UnionPay links what DE53 position 1
 * says.
 *
 * Used by verify-pin.ts and translate-pin.ts. cups-host.md section 8, DE53: 1 = without PAN, 2 =
 * with PAN.
 */

import type { PinBlockFormat } from '../../../hsm/port.ts'
import { keyNames, type Context } from '../context.ts'
import type { Txn } from '../txn.ts'

/** Format and key of the PIN block that came with the request. */
export function incomingPin(txn: Txn, context: Context): { format: PinBlockFormat; key: string } {
  const profile = context.profiles.get(txn.link.settings.name)
  const key = txn.terminal ? keyNames.terminalPin(txn.terminal) : (profile?.pinKey ?? '')
  let format = profile?.pinFormat ?? 'iso0'
  if (format.startsWith('unionpay')) {
    format = txn.securityControl.startsWith('1') ? 'unionpay_no_pan' : 'unionpay_pan'
  }
  return { format, key }
}
