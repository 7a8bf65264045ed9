// Modes that BlockCipher leaves out because tokens need not offer them: counter mode and CBC
// decipherment, made from ECB. Called by key blocks, data decipherment and the calculator.

import type { BlockCipher } from './cipher.ts'
import { demand } from './errors.ts'

/**
 * Counter mode with the whole block as big-endian counter that starts at `iv`; enciphers and
 * deciphers. Data of any length.
 */
export function counterMode(cipher: BlockCipher, iv: Uint8Array, data: Uint8Array): Uint8Array {
  const size = cipher.blockBytes
  demand(iv.length === size, 'length', 'initial value is not one cipher block')
  const counter = Uint8Array.from(iv)
  const out = Uint8Array.from(data)
  for (let at = 0; at < out.length; at += size) {
    const stream = cipher.encryptEcb(counter)
    const end = Math.min(at + size, out.length)
    for (let i = at; i < end; i++) out[i] = out[i]! ^ stream[i - at]!
    for (let i = size - 1; i >= 0; i--) {
      counter[i] = (counter[i]! + 1) & 0xff
      if (counter[i] !== 0) break
    }
  }
  return out
}

/** CBC decipherment of whole blocks; nothing is stripped. */
export function cbcDecrypt(cipher: BlockCipher, iv: Uint8Array, data: Uint8Array): Uint8Array {
  const size = cipher.blockBytes
  demand(iv.length === size, 'length', 'initial value is not one cipher block')
  const out = cipher.decryptEcb(data)
  for (let i = 0; i < out.length; i++) {
    out[i] = out[i]! ^ (i < size ? iv[i]! : data[i - size]!)
  }
  return out
}
