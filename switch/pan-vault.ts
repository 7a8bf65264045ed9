/**
 * How card numbers rest: a keyed token to find them by, and AES-256-GCM to read them again.
 *
 * Made once by main.ts from the two secrets that the token keeps wrapped (Hsm.vaultKeys); used by
 * pipeline steps and store-and-forward. Never writes a PAN anywhere. PCI DSS 3.4/3.5; design.md
 * section 6.
 */

import {
  createCipheriv, createDecipheriv, createHmac, createSecretKey, type KeyObject,
} from 'node:crypto'
import type { Random } from './runtime/random.ts'
import { Pan } from './secrets.ts'

const IV_BYTES = 12
const TAG_BYTES = 16

export class PanVault {
  // Key objects: with bytes, Node 24 spends 12 us per call on finding out what they are.
  readonly #sealKey: KeyObject
  readonly #tokenKey: KeyObject
  readonly #random: Random

  /** Both keys are 32 bytes; they are copied, so the caller may wipe its own. */
  constructor(keys: { seal: Uint8Array; token: Uint8Array }, random: Random) {
    this.#sealKey = createSecretKey(keys.seal)
    this.#tokenKey = createSecretKey(keys.token)
    this.#random = random
  }

  /**
   * HMAC-SHA-256 of the digits, 32 bytes: equal PANs have equal tokens, and no token can be
   * computed without the key.
   */
  token(pan: Pan): Buffer {
    return createHmac('sha256', this.#tokenKey).update(pan.reveal(), 'latin1').digest()
  }

  /** IV, tag and ciphertext in one buffer; two seals of one PAN differ. */
  seal(pan: Pan): Buffer {
    const iv = this.#random.bytes(IV_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#sealKey, iv)
    const body = cipher.update(pan.reveal(), 'latin1')
    cipher.final()
    return Buffer.concat([iv, cipher.getAuthTag(), body])
  }

  /** The PAN of a seal; null when it was not made by this vault or was altered. */
  open(sealed: Uint8Array): Pan | null {
    if (sealed.length <= IV_BYTES + TAG_BYTES) return null
    const cipher = createDecipheriv('aes-256-gcm', this.#sealKey, sealed.subarray(0, IV_BYTES))
    cipher.setAuthTag(sealed.subarray(IV_BYTES, IV_BYTES + TAG_BYTES))
    try {
      const digits = cipher.update(sealed.subarray(IV_BYTES + TAG_BYTES))
      cipher.final()
      return new Pan(digits.toString('latin1'))
    } catch {
      return null // a wrong tag: altered, or another vault's
    }
  }
}
