/**
 * Sign-on of a terminal: new PIN and MAC keys, made in the token, sent under the terminal's own
 * master key.
 *
 * The keys are in force here before the answer leaves. Layouts: cups-pos.md 6.1 for UnionPay POS
 * (60.3 = 003: PIN key 16, check value 4, MAC key 8 and eight zero bytes, check value 4); ATM
 * profile: both keys double length.
 */

import type { WorkingKey } from '../../../hsm/port.ts'
import { crashPoint } from '../../runtime/crash-point.ts'
import { keyNames, refuse, type Context, type Next } from '../context.ts'
import type { Txn } from '../txn.ts'

const POS_DOUBLE_LENGTH = '003'

export async function makeTerminalKeys(txn: Txn, context: Context): Promise<Next> {
  const terminal = txn.terminal
  if (!terminal) return refuse(txn, 'unknown_terminal')
  const pos = txn.link.settings.dialect.name === 'cups-pos'
  if (pos && txn.message.view.text(60).slice(8, 11) !== POS_DOUBLE_LENGTH) {
    return refuse(txn, 'unsupported_transaction') // single-length PIN keys are not allowed
  }
  const [pin, mac] = await Promise.all([
    context.hsm.makeWorkingKey({
      name: keyNames.terminalPin(terminal),
      kek: terminal.key,
      usage: 'pin',
      bytes: 16,
    }),
    context.hsm.makeWorkingKey({
      name: keyNames.terminalMac(terminal),
      kek: terminal.key,
      usage: 'mac',
      bytes: pos ? 8 : 16,
    }),
  ])
  if (pin.outcome !== 'ok' || mac.outcome !== 'ok') return refuse(txn, 'token_unavailable')
  crashPoint('terminal_keys.after_made')
  const batch = context.numbers.take('batch')
  if (batch === null) return refuse(txn, 'malfunction')
  for (const key of [pin.value, mac.value]) {
    await context.keepKey(key.name, key.block, key.kcv, key.usage)
    crashPoint('terminal_keys.after_one_kept')
  }
  txn.batch = batch
  txn.answerKeys = layout(pin.value, mac.value)
  txn.note(context.clock.wallMs(), 'terminal.signed_on', terminal.link)
  txn.answer = { ...txn.answer, reason: 'approved' }
  return 'answer'
}

function layout(pin: WorkingKey, mac: WorkingKey): Uint8Array {
  const filler = new Uint8Array(16 - mac.wrapped.length)
  return Buffer.concat([pin.wrapped, pin.kcv, mac.wrapped, filler, mac.kcv])
}
