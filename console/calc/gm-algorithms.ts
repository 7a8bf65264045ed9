// Calculator: the Chinese national algorithms SM2, SM3, SM4 (crypto.md section 12 of the facts).

import { CalcInput } from './input.ts'
import type { CalcAlgorithm, CalcOutput } from './input.ts'
import { toHex } from '../../hsm/algorithms/bytes.ts'
import { cbcDecrypt, counterMode } from '../../hsm/algorithms/cipher-modes.ts'
import * as sm2 from '../../hsm/algorithms/sm2.ts'
import { sm4Cipher } from '../../hsm/algorithms/software-ciphers.ts'

const ORDERS: Readonly<Record<string, sm2.Sm2Order>> = { c1c3c2: 'C1C3C2', c1c2c3: 'C1C2C3' }

function identity(i: CalcInput): string {
  return i.optionalText('id') ?? sm2.SM2_DEFAULT_ID
}

/** Public key of the line: x and y, or that of its private key. */
function publicKey(i: CalcInput): sm2.Sm2Point {
  return i.has('x') ? { x: i.hex('x'), y: i.hex('y') } : sm2.sm2PublicKey(i.hex('d'))
}

/** The message hash: given as `e`, or computed over the message. */
function messageHash(i: CalcInput): Uint8Array {
  if (i.has('e')) return i.hex('e')
  return sm2.sm2MessageHash(identity(i), publicKey(i), i.data('message'))
}

function encrypt(i: CalcInput): CalcOutput {
  const parts = sm2.sm2Encrypt(publicKey(i), i.data('message'), i.optionalHex('k'))
  const order = i.choice('order', ORDERS, 'C1C3C2')
  return {
    c1: toHex(parts.c1),
    c2: toHex(parts.c2),
    c3: toHex(parts.c3),
    ciphertext: toHex(sm2.joinSm2Ciphertext(parts, order, true)),
  }
}

function decrypt(i: CalcInput): CalcOutput {
  if (i.has('c1')) {
    const given = i.hex('c1')
    const c1 = given.length === 64 ? Uint8Array.of(0x04, ...given) : given
    const parts = { c1, c2: i.hex('c2'), c3: i.hex('c3') }
    return { message: toHex(sm2.sm2Decrypt(i.hex('d'), parts)) }
  }
  const order = i.choice('order', ORDERS, 'C1C3C2')
  const parts = sm2.splitSm2Ciphertext(i.hex('ciphertext'), order)
  return { message: toHex(sm2.sm2Decrypt(i.hex('d'), parts)) }
}

const encrypted = (bytes: Uint8Array): CalcOutput => ({ encrypted: toHex(bytes) })
const plain = (bytes: Uint8Array): CalcOutput => ({ data: toHex(bytes) })
const ivOf = (i: CalcInput): Uint8Array => i.optionalHex('iv') ?? new Uint8Array(16)
const cipherText = (i: CalcInput): Uint8Array => i.hex(i.has('encrypted') ? 'encrypted' : 'data')

export const GM_ALGORITHMS: Readonly<Record<string, CalcAlgorithm>> = {
  'sm2.pub': (i) => {
    const point = sm2.sm2PublicKey(i.hex('d'))
    return { x: toHex(point.x), y: toHex(point.y) }
  },
  'sm2.z': (i) => ({ z: toHex(sm2.sm2IdentityHash(identity(i), publicKey(i))) }),
  'sm2.e': (i) => ({ e: toHex(messageHash(i)) }),
  'sm2.sign': (i) => {
    const e = messageHash(i)
    const { r, s } = sm2.sm2SignHash(i.hex('d'), e, i.optionalHex('k'))
    return { e: toHex(e), r: toHex(r), s: toHex(s) }
  },
  'sm2.verify': (i) => {
    const signature = { r: i.hex('r'), s: i.hex('s') }
    return { valid: sm2.sm2VerifyHash(publicKey(i), messageHash(i), signature) }
  },
  'sm2.encrypt': encrypt,
  'sm2.decrypt': decrypt,
  sm3: (i) => ({ hash: toHex(sm2.sm3Hash(i.data())) }),
  'sm4.ecb': (i) => encrypted(sm4Cipher(i.hex('key')).encryptEcb(i.data())),
  'sm4.ecb.decrypt': (i) => plain(sm4Cipher(i.hex('key')).decryptEcb(cipherText(i))),
  'sm4.cbc': (i) => encrypted(sm4Cipher(i.hex('key')).encryptCbc(ivOf(i), i.data())),
  'sm4.cbc.decrypt': (i) => plain(cbcDecrypt(sm4Cipher(i.hex('key')), ivOf(i), cipherText(i))),
  'sm4.ctr': (i) => encrypted(counterMode(sm4Cipher(i.hex('key')), ivOf(i), i.data())),
  'sm4.ctr.decrypt': (i) => plain(counterMode(sm4Cipher(i.hex('key')), ivOf(i), cipherText(i))),
}
