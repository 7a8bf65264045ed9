// MACs and working keys of the CUPS simulator. Used by cups.ts and cups-acquirer.ts. The list of
// fields in a MAB is written here from the interface facts (cups-host.md 9.2), not taken from the
// switch's dialect files, so that a mistake there shows as a MAC that does not fit.

import { concat, equalConstantTime, fromHex, toHex } from '../../hsm/algorithms/bytes.ts'
import { cupsMab, cupsMacField } from '../../hsm/algorithms/cups-mac.ts'
import type { WorkingKey } from '../keys.ts'
import type { ReadMessage } from '../messages.ts'

const MAB_FINANCIAL = [2, 3, 4, 7, 11, 18, 25, 28, 32, 33, 38, 39, 41, 42, 90] as const
const MAB_NETWORK = [7, 11, 39, 53, 70, 100] as const
const ORIGINAL_CHARACTERS = 20 // only MTI, DE11 and DE7 of DE90 take part

const KEYS_KEPT = 2 // the key in force and the one before, for messages in flight

/** MAB text of a message: MTI, then the present fields with their length digits. */
export function mabOf(message: ReadMessage): string {
  const network = message.mti.startsWith('08')
  const texts = [message.mti]
  for (const field of network ? MAB_NETWORK : MAB_FINANCIAL) {
    const text = message.wireText(field)
    if (text !== '') texts.push(field === 90 ? text.slice(0, ORIGINAL_CHARACTERS) : text)
  }
  return cupsMab(texts)
}

function macOver(key: WorkingKey, message: ReadMessage): Uint8Array {
  return key.retailMac(Uint8Array.from(Buffer.from(mabOf(message), 'latin1')))
}

/** DE128 of an ordinary message: the first four MAC bytes as eight hex characters. */
export function macField(key: WorkingKey, message: ReadMessage): Uint8Array {
  return cupsMacField(macOver(key, message))
}

/** DE128 of a key reset: four MAC bytes and four check value bytes, both by the new key. */
export function keyResetField(key: WorkingKey, message: ReadMessage): Uint8Array {
  return concat(macOver(key, message).slice(0, 4), key.checkValue(4))
}

/** DE48 of a key reset: usage NK and the wrapped key. */
export function newKeyField(wrapped: Uint8Array): Uint8Array {
  return concat(fromHex('4E4B'), wrapped)
}

export type MacVerdict = 'right' | 'wrong' | 'absent' | 'no_key'

/** Working keys of the zone between CUPS and the member, newest first. */
export class CupsKeys {
  #pin: WorkingKey[] = []
  #mac: WorkingKey[] = []

  install(kind: 'pin' | 'mac', key: WorkingKey): void {
    if (kind === 'pin') this.#pin = [key, ...this.#pin].slice(0, KEYS_KEPT)
    else this.#mac = [key, ...this.#mac].slice(0, KEYS_KEPT)
  }

  pinKeys(): readonly WorkingKey[] {
    return this.#pin
  }

  /** The MAK in force, or null before the first key reset. */
  macKey(): WorkingKey | null {
    return this.#mac[0] ?? null
  }

  /** Check values of both kinds, three bytes in hex; '' where there is none. */
  checkValues(): { pin: string; mac: string } {
    const of = (key: WorkingKey | undefined): string =>
      key === undefined ? '' : toHex(key.checkValue(3))
    return { pin: of(this.#pin[0]), mac: of(this.#mac[0]) }
  }

  /** Checks DE128 of a received message under the keys kept. */
  verify(message: ReadMessage): MacVerdict {
    if (this.#mac.length === 0) return 'no_key'
    if (!message.has(128)) return 'absent'
    const given = message.bytesOf(128)
    const right = this.#mac.some((key) => equalConstantTime(macField(key, message), given))
    return right ? 'right' : 'wrong'
  }
}

/** A MAC field that is wrong in its first character, for the fault rule. */
export function spoilMac(field: Uint8Array): Uint8Array {
  const out = Uint8Array.from(field)
  out[0] = out[0] === 0x30 ? 0x31 : 0x30
  return out
}
