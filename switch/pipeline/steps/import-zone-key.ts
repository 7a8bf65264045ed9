/**
 * A network sends a new working key: taken into force only when its check value is right
 * (behaviours.md G48).
 *
 * CUPS key reset: cups-host.md 9.4. Visa: key in DE105, check value in the first bytes of DE96; the
 * code of DE70 and the place of the check value are by agreement (visa.md section 8), so they are
 * data of the dialect file.
 */

import type { KeyUsage } from '../../../hsm/port.ts'
import { crashPoint } from '../../runtime/crash-point.ts'
import { keyNames, refuse, type Context, type Next } from '../context.ts'
import type { View } from '../../codec/view.ts'
import type { Txn } from '../txn.ts'

interface Delivery {
  usage: KeyUsage
  wrapped: Uint8Array
  kcv: Uint8Array
}

const NEW_KEY_USAGE = 'NK'
const NEW_KEY_BYTES = 16
const VISA_KCV_BYTES = 3

export async function importZoneKey(txn: Txn, context: Context): Promise<Next> {
  const { name, meaning } = txn.link.settings
  const profile = context.profiles.get(name)
  const view = txn.message.view
  const delivery = meaning.key_exchange === 'visa_105' ? visaKey(view) : cupsKey(view)
  if (!profile?.keyExchangeKey || !delivery) return refuse(txn, 'format_error')
  const keyName = delivery.usage === 'pin' ? keyNames.zonePin(name) : keyNames.zoneMac(name)
  const result = await context.hsm.importWorkingKey({
    name: keyName,
    kek: profile.keyExchangeKey,
    usage: delivery.usage,
    wrapped: delivery.wrapped,
    kcv: delivery.kcv,
  })
  crashPoint('zone_key.after_imported')
  txn.note(context.clock.wallMs(), 'key.imported', `${delivery.usage} ${result.outcome}`)
  // Refused: the old key stays in force.
  if (result.outcome !== 'ok') return refuse(txn, 'security_violation')
  await context.keepKey(keyName, result.value.block, result.value.kcv, delivery.usage)
  crashPoint('zone_key.after_kept')
  txn.answer = { ...txn.answer, reason: 'approved' }
  return 'answer'
}

/** DE53 `16…` PIN key, `26…` MAC key; DE48 NK + 16 bytes; DE128 = MAC 4 + check value 4. */
function cupsKey(view: View): Delivery | null {
  const control = view.text(53)
  const usage = control[0] === '1' ? 'pin' : control[0] === '2' ? 'mac' : null
  const additional = view.bytes(48)
  const tail = view.bytes(128)
  if (!usage || control[1] !== '6' || tail.length !== 8) return null
  if (Buffer.from(additional.subarray(0, 2)).toString('latin1') !== NEW_KEY_USAGE) return null
  const wrapped = additional.subarray(2, 2 + NEW_KEY_BYTES)
  if (wrapped.length !== NEW_KEY_BYTES) return null
  return { usage, wrapped: Uint8Array.from(wrapped), kcv: Uint8Array.from(tail.subarray(4)) }
}

function visaKey(view: View): Delivery | null {
  const wrapped = view.bytes(105)
  const check = view.bytes(96)
  if (wrapped.length !== 16 || check.length !== 8) return null
  return {
    usage: 'pin',
    wrapped: Uint8Array.from(wrapped),
    kcv: Uint8Array.from(check.subarray(0, VISA_KCV_BYTES)),
  }
}
