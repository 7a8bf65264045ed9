// SM2 (GM/T 0003-2012, GB/T 32918): key pair, identity hash Z, signature, encryption, over BigInt.
// Called by the UnionPay national-algorithm paths (channels, cards), the simulators and the
// calculator. BigInt arithmetic does not take constant time: private keys that matter belong in a
// token; this file signs and deciphers for tests, simulators and the accepted software path.

import { createHash, randomBytes } from 'node:crypto'

import { concat, equalConstantTime, fromAscii, xor } from './bytes.ts'
import { AlgorithmError, demand } from './errors.ts'

const P = 0xfffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffffn
const A = P - 3n
const B = 0x28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93n
const N = 0xfffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123n
const GX = 0x32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7n
const GY = 0xbc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0n

/** Default identity of GM/T 0009. */
export const SM2_DEFAULT_ID = '1234567812345678'

/** A point of the curve, 32-byte big-endian coordinates. */
export interface Sm2Point {
  readonly x: Uint8Array
  readonly y: Uint8Array
}

/** A signature as payment messages carry it: two 32-byte numbers. */
export interface Sm2Signature {
  readonly r: Uint8Array
  readonly s: Uint8Array
}

/** Order of the parts of a ciphertext: the 2010 standard is C1C3C2, the older one C1C2C3. */
export type Sm2Order = 'C1C3C2' | 'C1C2C3'

interface Affine {
  readonly x: bigint
  readonly y: bigint
}

/** Jacobian coordinates; z = 0 is the point at infinity. */
interface Jacobian {
  readonly x: bigint
  readonly y: bigint
  readonly z: bigint
}

const INFINITY: Jacobian = { x: 1n, y: 1n, z: 0n }

function mod(value: bigint, modulus: bigint): bigint {
  const rest = value % modulus
  return rest < 0n ? rest + modulus : rest
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n
  let square = mod(base, modulus)
  for (let e = exponent; e > 0n; e >>= 1n) {
    if (e & 1n) result = (result * square) % modulus
    square = (square * square) % modulus
  }
  return result
}

/** Inverse modulo a prime, by Fermat. */
function inverse(value: bigint, prime: bigint): bigint {
  return power(value, prime - 2n, prime)
}

function double(point: Jacobian): Jacobian {
  if (point.z === 0n || point.y === 0n) return INFINITY
  const yy = (point.y * point.y) % P
  const s = (4n * point.x * yy) % P
  const zz = (point.z * point.z) % P
  const m = mod(3n * point.x * point.x + A * zz * zz, P)
  const x = mod(m * m - 2n * s, P)
  return { x, y: mod(m * (s - x) - 8n * yy * yy, P), z: (2n * point.y * point.z) % P }
}

function add(left: Jacobian, right: Jacobian): Jacobian {
  if (left.z === 0n) return right
  if (right.z === 0n) return left
  const zz1 = (left.z * left.z) % P
  const zz2 = (right.z * right.z) % P
  const u1 = (left.x * zz2) % P
  const u2 = (right.x * zz1) % P
  const s1 = (left.y * zz2 * right.z) % P
  const s2 = (right.y * zz1 * left.z) % P
  if (u1 === u2) return s1 === s2 ? double(left) : INFINITY
  const h = mod(u2 - u1, P)
  const r = mod(s2 - s1, P)
  const hh = (h * h) % P
  const hhh = (hh * h) % P
  const v = (u1 * hh) % P
  const x = mod(r * r - hhh - 2n * v, P)
  return { x, y: mod(r * (v - x) - s1 * hhh, P), z: (h * left.z * right.z) % P }
}

function multiply(point: Affine, scalar: bigint): Jacobian {
  let result = INFINITY
  const base: Jacobian = { ...point, z: 1n }
  for (let bit = BigInt(scalar.toString(2).length) - 1n; bit >= 0n; bit--) {
    result = double(result)
    if ((scalar >> bit) & 1n) result = add(result, base)
  }
  return result
}

function toAffine(point: Jacobian): Affine {
  demand(point.z !== 0n, 'format', 'point at infinity')
  const zInverse = inverse(point.z, P)
  const zz = (zInverse * zInverse) % P
  return { x: (point.x * zz) % P, y: (point.y * zz * zInverse) % P }
}

const G: Affine = { x: GX, y: GY }

function numberOf(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
}

function bytesOf(value: bigint): Uint8Array {
  return Uint8Array.from(Buffer.from(value.toString(16).padStart(64, '0'), 'hex'))
}

function sm3(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sm3')
  for (const part of parts) hash.update(part)
  return Uint8Array.from(hash.digest())
}

/** SM3 hash (GM/T 0004-2012), 32 bytes. */
export function sm3Hash(data: Uint8Array): Uint8Array {
  return sm3(data)
}

/** A point of the curve; throws 'format' for coordinates that are not on it. */
function pointOf(point: Sm2Point): Affine {
  demand(point.x.length === 32 && point.y.length === 32, 'length', 'SM2 point')
  const x = numberOf(point.x)
  const y = numberOf(point.y)
  const inField = x < P && y < P && !(x === 0n && y === 0n)
  demand(inField && mod(y * y - (x * x * x + A * x + B), P) === 0n, 'format', 'SM2 point')
  return { x, y }
}

function privateNumber(d: Uint8Array): bigint {
  const value = numberOf(d)
  demand(d.length === 32 && value > 0n && value < N - 1n, 'format', 'SM2 private key')
  return value
}

/** A random number 1 to n-1, or the given one (tests and vectors only). */
function nonce(given: Uint8Array | undefined): bigint {
  if (given !== undefined) {
    const value = numberOf(given)
    demand(value > 0n && value < N, 'format', 'SM2 random number')
    return value
  }
  for (;;) {
    const value = numberOf(Uint8Array.from(randomBytes(32)))
    if (value > 0n && value < N) return value
  }
}

/** Public key of a private key. */
export function sm2PublicKey(d: Uint8Array): Sm2Point {
  const point = toAffine(multiply(G, privateNumber(d)))
  return { x: bytesOf(point.x), y: bytesOf(point.y) }
}

/** Identity hash Z of a public key (GM/T 0003.2, 5.5). `id` is ASCII, at most 8191 bytes. */
export function sm2IdentityHash(id: string, key: Sm2Point): Uint8Array {
  const idBytes = fromAscii(id)
  demand(idBytes.length <= 8191, 'length', 'SM2 identity')
  const bits = idBytes.length * 8
  const entl = Uint8Array.of(bits >> 8, bits & 0xff)
  return sm3(entl, idBytes, bytesOf(A), bytesOf(B), bytesOf(GX), bytesOf(GY), key.x, key.y)
}

/** The hash that is signed: SM3(Z ‖ message). */
export function sm2MessageHash(id: string, key: Sm2Point, message: Uint8Array): Uint8Array {
  return sm3(sm2IdentityHash(id, key), message)
}

/** Signs a message hash. `k` is the random number of a vector; random when absent. */
export function sm2SignHash(d: Uint8Array, hash: Uint8Array, k?: Uint8Array): Sm2Signature {
  const secret = privateNumber(d)
  const e = numberOf(hash)
  for (;;) {
    const random = nonce(k)
    const r = mod(e + toAffine(multiply(G, random)).x, N)
    const s = mod(inverse(1n + secret, N) * (random - r * secret), N)
    if (r !== 0n && r + random !== N && s !== 0n) return { r: bytesOf(r), s: bytesOf(s) }
    if (k !== undefined) throw new AlgorithmError('format', 'SM2 random number')
  }
}

/** Whether a signature holds over a message hash. A malformed signature is false, not an error. */
export function sm2VerifyHash(key: Sm2Point, hash: Uint8Array, signature: Sm2Signature): boolean {
  const point = pointOf(key)
  const r = numberOf(signature.r)
  const s = numberOf(signature.s)
  if (r <= 0n || r >= N || s <= 0n || s >= N) return false
  const t = mod(r + s, N)
  if (t === 0n) return false
  const sum = add(multiply(G, s), multiply(point, t))
  if (sum.z === 0n) return false
  return mod(numberOf(hash) + toAffine(sum).x, N) === r
}

/** Key derivation function: SM3(shared ‖ counter) from 1 until `length` bytes. */
function keyStream(shared: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length)
  for (let at = 0, counter = 1; at < length; at += 32, counter++) {
    const count = new Uint8Array(4)
    new DataView(count.buffer).setUint32(0, counter)
    out.set(sm3(shared, count).subarray(0, Math.min(32, length - at)), at)
  }
  return out
}

/** Parts of an SM2 ciphertext. `c1` begins with 04. */
export interface Sm2Ciphertext {
  readonly c1: Uint8Array
  readonly c2: Uint8Array
  readonly c3: Uint8Array
}

/** Enciphers a message for a public key. `k` is the random number of a vector. */
export function sm2Encrypt(key: Sm2Point, message: Uint8Array, k?: Uint8Array): Sm2Ciphertext {
  const point = pointOf(key)
  demand(message.length > 0, 'length', 'SM2 message is empty')
  for (;;) {
    const random = nonce(k)
    const first = toAffine(multiply(G, random))
    const shared = toAffine(multiply(point, random))
    const x2 = bytesOf(shared.x)
    const y2 = bytesOf(shared.y)
    const stream = keyStream(concat(x2, y2), message.length)
    if (stream.some((byte) => byte !== 0)) {
      const c1 = concat(Uint8Array.of(0x04), bytesOf(first.x), bytesOf(first.y))
      return { c1, c2: xor(message, stream), c3: sm3(x2, message, y2) }
    }
    if (k !== undefined) throw new AlgorithmError('format', 'SM2 random number')
  }
}

/** The parts in one piece. `lead04` keeps the leading 04 of C1. */
export function joinSm2Ciphertext(
  parts: Sm2Ciphertext,
  order: Sm2Order,
  lead04: boolean,
): Uint8Array {
  const c1 = lead04 ? parts.c1 : parts.c1.slice(1)
  return order === 'C1C3C2' ? concat(c1, parts.c3, parts.c2) : concat(c1, parts.c2, parts.c3)
}

/** Whether (x, y) of 64 bytes at `at` is a point of the curve. */
function isPointAt(bytes: Uint8Array, at: number): boolean {
  const x = numberOf(bytes.subarray(at, at + 32))
  const y = numberOf(bytes.subarray(at + 32, at + 64))
  return x < P && y < P && mod(y * y - (x * x * x + A * x + B), P) === 0n
}

/** Takes a ciphertext apart; C1 with or without its leading 04. Throws 'length' or 'format'. */
export function splitSm2Ciphertext(bytes: Uint8Array, order: Sm2Order): Sm2Ciphertext {
  demand(bytes.length > 96, 'length', 'SM2 ciphertext')
  const leads = bytes[0] === 0x04 && bytes.length > 97 && isPointAt(bytes, 1)
  const at = leads ? 65 : 64
  const c1 = concat(Uint8Array.of(0x04), bytes.slice(at - 64, at))
  const rest = bytes.slice(at)
  return order === 'C1C3C2'
    ? { c1, c3: rest.slice(0, 32), c2: rest.slice(32) }
    : { c1, c2: rest.slice(0, rest.length - 32), c3: rest.slice(rest.length - 32) }
}

/** Deciphers. Throws 'format' for a C1 off the curve, 'hash' when C3 does not agree. */
export function sm2Decrypt(d: Uint8Array, parts: Sm2Ciphertext): Uint8Array {
  const secret = privateNumber(d)
  demand(parts.c1.length === 65 && parts.c1[0] === 0x04, 'format', 'C1 of the SM2 ciphertext')
  const point = pointOf({ x: parts.c1.slice(1, 33), y: parts.c1.slice(33, 65) })
  const shared = toAffine(multiply(point, secret))
  const x2 = bytesOf(shared.x)
  const y2 = bytesOf(shared.y)
  const message = xor(parts.c2, keyStream(concat(x2, y2), parts.c2.length))
  demand(equalConstantTime(sm3(x2, message, y2), parts.c3), 'hash', 'C3 of the SM2 ciphertext')
  return message
}
