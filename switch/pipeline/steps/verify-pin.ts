/**
 * Is the PIN right? Own cards only; the token compares, the switch learns yes or no (crypto.md
 * section 3).
 *
 * The count of wrong PINs is the authorizer's, inside its commit, so that a repeated request counts
 * once.
 */

import type { PinVerification, VerifyPinRequest } from '../../../hsm/port.ts'
import type { Card } from '../../journal/port.ts'
import { refuse, type Context, type Issuer, type Next } from '../context.ts'
import { incomingPin } from './pin-format.ts'
import type { Txn } from '../txn.ts'

export async function verifyPin(txn: Txn, context: Context): Promise<Next> {
  const { pinBlock, card, issuer, pan } = txn
  if (!pinBlock) return 'next'
  if (!card || !issuer || !pan) return refuse(txn, 'malfunction')
  const { format, key } = incomingPin(txn, context)
  const request: VerifyPinRequest = {
    pinKey: key,
    block: pinBlock.reveal(),
    format,
    pan: pan.reveal(),
    method: methodOf(card, issuer),
  }
  let result = await context.hsm.verifyPin(request)
  const before = result.outcome === 'bad_pin_block' ? context.overlap.previous(key) : null
  if (before !== null) result = await context.hsm.verifyPin({ ...request, pinKey: before })
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

/** PVV when the card has one, else IBM 3624 with its offset. */
function methodOf(card: Card, issuer: Issuer): PinVerification {
  return card.pvv !== ''
    ? { kind: 'pvv', key: issuer.pvk, pvki: card.pvki, pvv: card.pvv }
    : { kind: 'ibm3624', key: issuer.pvk, offset: card.pinOffset }
}
