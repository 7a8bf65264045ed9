/**
 * Is the request from who it says? Nothing of it is used before this step passed (behaviours.md
 * I57).
 *
 * A request type that must carry a MAC and does not is refused like a wrong one.
 */

import { keyNames, refuse, type Context, type Next } from '../context.ts'
import { verifyMacInOverlap } from '../key-overlap.ts'
import { macInput, macOf } from '../mac.ts'
import type { Txn } from '../txn.ts'

export async function verifyRequestMac(txn: Txn, context: Context): Promise<Next> {
  const { meaning, name } = txn.link.settings
  const rule = meaning.mac
  const profile = context.profiles.get(name)
  const view = txn.message.view
  if (!rule || !profile?.macRequired || !rule.requests.includes(view.mti)) return 'next'
  const mac = macOf(rule, view)
  if (!mac) return refuse(txn, 'bad_mac')
  const key = txn.terminal ? keyNames.terminalMac(txn.terminal) : profile.macKey
  const data = Uint8Array.from(macInput(rule, view))
  const result = await verifyMacInOverlap(context.hsm, context.overlap, {
    key,
    algorithm: rule.algorithm,
    data,
    mac,
  })
  txn.note(context.clock.wallMs(), 'token.verify_mac', result.outcome)
  if (result.outcome === 'ok') {
    txn.macKey = result.value
    if (txn.terminal && result.value === key) {
      context.overlap.proven(keyNames.terminalPin(txn.terminal)) // both came in one message
    }
    return 'next'
  }
  if (result.outcome === 'key_missing') return refuse(txn, 'not_signed_on')
  return refuse(txn, result.outcome === 'mac_mismatch' ? 'bad_mac' : 'token_unavailable')
}
