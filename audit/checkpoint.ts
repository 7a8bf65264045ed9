// A checkpoint: a signature of the token over the chain up to one event. Used by audit/verify.ts
// (which needs no token), audit/store.ts and audit/checkpoint-file.ts. PURE but for the signer that
// the caller hands in. Signature: ECDSA P-256 over SHA-256 (FIPS 186-4), r and s of 32 bytes each.

import { createPublicKey, verify } from 'node:crypto'

import { sha256Hex } from './event.ts'

/** A checkpoint as it stands in the database and in the file. Bytes are lower-case hex. */
export interface Checkpoint {
  readonly seq: number // the event it covers, and with it all before
  readonly hash: string // of that event
  readonly atMs: number
  readonly previous: string // checkpointHash of the one before, zeros for the first
  readonly publicKey: string // P-256 point, 65 bytes
  readonly signature: string // 64 bytes
}

/** The token's part of it: signs a text with ECDSA over its SHA-256. */
export interface CheckpointSigner {
  readonly publicKey: string
  sign(text: string): string
}

/** The text that is signed. */
export function checkpointText(point: Omit<Checkpoint, 'signature'>): string {
  const { seq, hash, atMs, previous, publicKey } = point
  return ['switchyard checkpoint 1', seq, hash, atMs, previous, publicKey].join('\n') + '\n'
}

/** What the next checkpoint names as its `previous`. */
export function checkpointHash(point: Checkpoint): string {
  return sha256Hex(`${checkpointText(point)}${point.signature}\n`)
}

/** Makes a checkpoint over an event. */
export function makeCheckpoint(
  signer: CheckpointSigner,
  over: { readonly seq: number; readonly hash: string },
  previous: string,
  atMs: number,
): Checkpoint {
  const { publicKey } = signer
  const point = { seq: over.seq, hash: over.hash, atMs, previous, publicKey }
  return { ...point, signature: signer.sign(checkpointText(point)) }
}

/** SubjectPublicKeyInfo of a P-256 key up to its point (RFC 5480). */
const SPKI_HEAD = '3059301306072a8648ce3d020106082a8648ce3d030107034200'

/** Whether the signature is that of the public key which the checkpoint names. */
export function signatureHolds(point: Checkpoint): boolean {
  const bytes = Buffer.from(point.publicKey, 'hex')
  const signature = Buffer.from(point.signature, 'hex')
  if (checkpointOf(point) === null) return false // also refuses another spelling of the same hex
  try {
    const der = Buffer.concat([Buffer.from(SPKI_HEAD, 'hex'), bytes])
    const key = createPublicKey({ key: der, format: 'der', type: 'spki' })
    const text = Buffer.from(checkpointText(point), 'utf8')
    return verify('sha256', text, { key, dsaEncoding: 'ieee-p1363' }, signature)
  } catch {
    return false // not a point of the curve
  }
}

/** Short name of a signing key, for people to compare: 16 hex digits of its SHA-256. */
export function keyFingerprint(publicKey: string): string {
  return sha256Hex(publicKey.toLowerCase()).slice(0, 16)
}

const HEX32 = /^[0-9a-f]{64}$/

/** A checkpoint out of parsed JSON, or null when it is none. Every field is checked. */
export function checkpointOf(value: unknown): Checkpoint | null {
  if (typeof value !== 'object' || value === null) return null
  const { seq, hash, atMs, previous, publicKey, signature } = value as Record<string, unknown>
  if (!Number.isSafeInteger(seq) || !Number.isSafeInteger(atMs)) return null
  if (typeof hash !== 'string' || typeof previous !== 'string') return null
  if (typeof publicKey !== 'string' || typeof signature !== 'string') return null
  if (!HEX32.test(hash) || !HEX32.test(previous)) return null
  if (!/^[0-9a-f]{130}$/.test(publicKey) || !/^[0-9a-f]{128}$/.test(signature)) return null
  return { seq: seq as number, hash, atMs: atMs as number, previous, publicKey, signature }
}
