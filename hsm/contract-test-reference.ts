// A slow reference for the contract suite: DES, MACs, EMV keys and PIN blocks written out step by
// step over node:crypto alone, sharing no code with hsm/algorithms. The suite proves it on public
// values before it relies on it. Used by hsm/contract.ts and tests of the token layer.

import { createCipheriv, createDecipheriv } from 'node:crypto'

/** Bytes of hexadecimal text. */
export function bytes(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'))
}

/** Upper-case hexadecimal text. */
export function hex(value: Uint8Array): string {
  return Buffer.from(value).toString('hex').toUpperCase()
}

/** 3DES ECB of a 16-byte key, or single DES of an 8-byte key, by node:crypto. */
export function des(key: Uint8Array, data: Uint8Array, decipher = false): Uint8Array {
  const k1 = key.subarray(0, 8)
  const k2 = key.length === 8 ? k1 : key.subarray(8, 16)
  const triple = Buffer.concat([k1, k2, k1])
  const make = decipher ? createDecipheriv : createCipheriv
  return make('des-ede3', triple, null).setAutoPadding(false).update(data)
}

/** XOR of two byte strings of one length. */
export function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, at) => byte ^ b[at]!)
}

/** Retail MAC, block by block as ISO 9797-1 writes it: E, ..., then D with K2 and E with K1. */
export function retailMac(key: Uint8Array, data: Uint8Array): Uint8Array {
  const [k1, k2] = [key.slice(0, 8), key.slice(8)]
  let state: Uint8Array = new Uint8Array(8)
  for (let at = 0; at < data.length; at += 8) {
    state = des(k1, xor(state, data.subarray(at, at + 8)))
  }
  return des(k1, des(k2, state, true))
}

/** ISO 9797-1 padding method 2. */
export function padded80(data: Uint8Array): Uint8Array {
  const out = new Uint8Array((Math.floor(data.length / 8) + 1) * 8)
  out.set(data)
  out[data.length] = 0x80
  return out
}

/** Card key by option A, without parity, which DES ignores. */
export function cardKey(imk: Uint8Array, pan: string, sequence: string): Uint8Array {
  const y = bytes((pan + sequence).slice(-16).padStart(16, '0'))
  return Buffer.concat([des(imk, y), des(imk, xor(y, new Uint8Array(8).fill(0xff)))])
}

/** PBOC session key: ATC right-aligned in the left block, its complement in the right. */
export function pbocSessionKey(mk: Uint8Array, atc: Uint8Array): Uint8Array {
  const left = Uint8Array.from([0, 0, 0, 0, 0, 0, ...atc])
  const right = Uint8Array.from([0, 0, 0, 0, 0, 0, ...atc.map((byte) => byte ^ 0xff)])
  return Buffer.concat([des(mk, left), des(mk, right)])
}

/** Clear format 0 block, written out digit by digit. */
export function iso0(pin: string, pan: string, filler = 'F'): Uint8Array {
  const field = `0${pin.length.toString(16)}${pin}`.padEnd(16, filler)
  return xor(bytes(field), bytes(`0000${pan.slice(-13, -1)}`))
}

/** Clear UnionPay X9.8 block: length in two decimal digits. */
export function unionPay(pin: string, pan: string | null): Uint8Array {
  const field = bytes(`${String(pin.length).padStart(2, '0')}${pin}`.padEnd(16, 'F'))
  return pan === null ? field : xor(field, bytes(`0000${pan.slice(-13, -1)}`))
}
