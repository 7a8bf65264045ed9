/**
 * Is the PIN right? Own cards only; the token compares, the switch learns yes or no (crypto.md section 3).
 *
 * The count of wrong PINs is the authorizer's, inside its commit, so that a repeated request counts once.
 */

import { refuse, type Context, type Next } from '../context.ts'
import { incomingPin } from './pin-format.ts'
import type { Txn } from '../txn.ts'

export async function verifyPin(txn: Txn, context: Context): Promise<Next> {
  const { pinBlock, card, issuer, pan } = txn
  if (!pinBlock) return 'next'
  if (!card || !issuer || !pan) return refuse(txn, 'malfunction')
  const { format, key } = incomingPin(txn, context)
  const result = await context.hsm.verifyPin({
    pinKey: key,
    block: pinBlock.reveal(),
    format,
    pan: pan.reveal(),
    method: { kind: 'pvv', key: issuer.pvk, pvki: card.pvki, pvv: card.pvv },
  })
  txn.note(context.clock.wallMs(), 'token.verify_pin', result.outcome)
  switch (result.outcome) {
    case 'ok':
      txn.pinFound = 'ok'
      return 'next'
    case 'pin_mismatch':
      txn.pinFound = 'wrong'
      return 'next'
    case 'bad_pin_block':
      return refuse(txn, 'pin_format')
    case 'key_missing':
      return refuse(txn, 'not_signed_on')
    default:
      txn.pinFound = 'unverifiable'
      return refuse(txn, 'token_unavailable') // behaviours.md I58: no approval without the token
  }
}
