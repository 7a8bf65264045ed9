/**
 * Which bytes a MAC covers and where it stands in a message.
 *
 * Used by the steps that verify and by answer.ts and forward.ts that make MACs; the computing
 * itself is the token's. Sources: cups-host.md 9.2 (MAB of CUPS), cups-pos.md 6.5 (UnionPay POS),
 * ISO 8583 clause on DE64/DE128.
 */

import type { Meaning } from '../../config/meaning.ts'
import { cupsMab } from '../../hsm/algorithms/cups-mac.ts'
import type { Dialect } from '../codec/dialect.ts'
import { Fault } from '../codec/fault.ts'
import { View } from '../codec/view.ts'
import { walk } from '../codec/walk.ts'

export type MacRule = NonNullable<Meaning['mac']>

/** Of DE90 only MTI, STAN and DE7 of the original enter the MAB. */
const ORIGINAL_ELEMENTS_IN_MAB = 20

/**
 * The bytes a MAC of `rule` is made over, for the message in `view`; its MAC field must be present.
 */
export function macInput(rule: MacRule, view: View): Uint8Array {
  const field = macField(rule, view)
  if (rule.input === 'packed') return view.frame.subarray(view.bodyStart, view.fieldStart(field))
  const network = view.mti.startsWith('08')
  const texts = [view.mti]
  for (const de of network ? rule.mab_network_fields : rule.mab_fields) {
    if (!view.has(de)) continue
    const bytes = view.frame.subarray(view.fieldStart(de), view.valueEnd(de))
    const text = Buffer.from(bytes).toString('latin1')
    texts.push(de === 90 ? text.slice(0, ORIGINAL_ELEMENTS_IN_MAB) : text)
  }
  return Buffer.from(cupsMab(texts), 'latin1')
}

/** DE64 when there is one bitmap, DE128 when the second is there: the last field either way. */
export function macField(rule: MacRule, view: View): number {
  return rule.field === 64 && view.bitmapCount > 1 ? 128 : rule.field
}

/** The MAC a message carries, in the form Hsm.verifyMac compares; null when there is none. */
export function macOf(rule: MacRule, view: View): Uint8Array | null {
  const field = macField(rule, view)
  if (!view.has(field)) return null
  if (rule.form === 'hex8' && rule.algorithm !== 'unionpay_pos_ecb') {
    const text = view.text(field)
    return /^[0-9A-F]{8}$/.test(text) ? Buffer.from(text, 'hex') : Buffer.alloc(4)
  }
  const bytes = view.bytes(field)
  return Uint8Array.from(rule.form === 'raw4_zero4' ? bytes.subarray(0, 4) : bytes)
}

/** Sets the placeholder that the MAC will overwrite; eight bytes in every form we know. */
export const MAC_PLACEHOLDER = new Uint8Array(8)

/**
 * A finished message with a view of its own, so that its MAC can be computed and written into it.
 */
export class MacTarget {
  readonly frame: Buffer
  readonly #view = new View()
  readonly #rule: MacRule

  /** `frame` is a message we built, header and body; it must parse. */
  constructor(rule: MacRule, dialect: Dialect, frame: Buffer) {
    this.frame = frame
    this.#rule = rule
    const fault = new Fault()
    if (!walk(dialect, frame, 0, frame.length, this.#view, fault)) {
      throw new Error(`a message we built does not parse: ${fault.kind} in field ${fault.field}`)
    }
  }

  input(): Uint8Array {
    return macInput(this.#rule, this.#view)
  }

  /** Writes the MAC that the token made into the placeholder. */
  place(mac: Uint8Array): void {
    const field = macField(this.#rule, this.#view)
    const at = this.#view.valueStart(field)
    const width = this.#view.valueEnd(field) - at
    this.frame.set(onWire(this.#rule, mac, width), at)
  }
}

/** The MAC as its field holds it; `width` is the field's size in bytes on the wire. */
function onWire(rule: MacRule, mac: Uint8Array, width: number): Uint8Array {
  if (rule.algorithm === 'unionpay_pos_ecb') return mac
  if (rule.form === 'hex8') return Buffer.from(hexOf(mac).slice(0, 8), 'latin1')
  const bytes = rule.form === 'raw4_zero4' ? zeroTail(mac) : mac
  return width === 2 * bytes.length ? Buffer.from(hexOf(bytes)) : bytes
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex').toUpperCase()
}

function zeroTail(mac: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8)
  bytes.set(mac.subarray(0, 4))
  return bytes
}
