/**
 * Turns the PIN block from the originator's key and format to the destination's, inside the token,
 * PAN unchanged.
 */

import { refuse, type Context, type Next } from '../context.ts'
import { Secret } from '../../secrets.ts'
import { incomingPin } from './pin-format.ts'
import type { Txn } from '../txn.ts'

export async function translatePin(txn: Txn, context: Context): Promise<Next> {
  const { pinBlock, pan } = txn
  if (!pinBlock) return 'next'
  const target = context.profiles.get(txn.route)
  if (!pan || !target) return refuse(txn, 'malfunction')
  const { format, key } = incomingPin(txn, context)
  const request = {
    fromKey: key,
    toKey: target.pinKey,
    block: pinBlock.reveal(),
    fromFormat: format,
    toFormat: target.pinFormat,
    pan: pan.reveal(),
  }
  let result = await context.hsm.translatePin(request)
  const before = result.outcome === 'bad_pin_block' ? context.overlap.previous(key) : null
  if (before !== null) result = await context.hsm.translatePin({ ...request, fromKey: before })
  txn.note(context.clock.wallMs(), 'token.translate_pin', result.outcome)
  if (result.outcome === 'ok') {
    txn.forwardPinBlock = new Secret('pin_block', result.value)
    return 'next'
  }
  if (result.outcome === 'bad_pin_block') return refuse(txn, 'pin_format')
  if (result.outcome === 'key_missing') return refuse(txn, 'not_signed_on')
  return refuse(txn, 'token_unavailable')
}
