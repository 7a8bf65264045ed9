// An officer's private key in a file of their own, sealed by a passphrase: Ed25519 (RFC 8032),
// scrypt (RFC 7914) and AES-256-GCM. Called by console/keys/. The passphrase comes as bytes and is
// the caller's to wipe; neither it nor the private key may reach a string, a log or an error.

import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  generateKeyPairSync,
  scryptSync,
  sign,
} from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  statSync,
  writeSync,
} from 'node:fs'

import type { Random } from '../../switch/runtime/random.ts'
import { wipe } from '../algorithms/bytes.ts'

/** Passphrases shorter than this are refused; characters. */
export const PASSPHRASE_BYTES_MIN = 12

/** scrypt's N: with r = 8, 128 MB and about half a second for each guess. */
export const SCRYPT_COST = 131_072
const SCRYPT_COST_MIN = 16_384
const SCRYPT_MEMORY_MAX = 160 * 1024 * 1024
const SEED_BYTES = 32
const FORMAT = 'switchyard officer key 1'
const PRIVATE_FILE = 0o600
const OTHERS = 0o077
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex') // RFC 8410

/** Why a key file cannot be used; its text says what to do. */
export class KeyFileFault extends Error {
  readonly kind: 'exists' | 'missing' | 'mode' | 'format' | 'passphrase'

  constructor(kind: KeyFileFault['kind'], message: string) {
    super(message)
    this.name = 'KeyFileFault'
    this.kind = kind
  }
}

/** An officer's key, opened. */
export interface OfficerKey {
  readonly name: string
  readonly publicKey: string // 32 bytes, lower-case hex
  /** Ed25519 signature of a text in UTF-8, lower-case hex. */
  sign(text: string): string
}

interface KeyFile {
  readonly format: string
  readonly name: string
  readonly public_key: string
  readonly cost: number // scrypt's N
  readonly salt: string
  readonly iv: string
  readonly sealed: string
}

/**
 * Makes a key pair and its file, mode 0600. Throws KeyFileFault `exists`.
 *
 * @param cost scrypt's N; only tests take less
 */
export function createKeyFile(
  path: string,
  name: string,
  passphrase: Uint8Array,
  random: Random,
  cost = SCRYPT_COST,
): OfficerKey {
  if (existsSync(path)) throw new KeyFileFault('exists', `${path} is there already`)
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const publicHex = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex')
  const der = privateKey.export({ format: 'der', type: 'pkcs8' })
  const [salt, iv] = [random.bytes(16), random.bytes(12)]
  const key = stretched(passphrase, salt, cost)
  try {
    const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(boundTo(name, publicHex))
    const sealed = [cipher.update(der.subarray(-SEED_BYTES)), cipher.final(), cipher.getAuthTag()]
    const file: KeyFile = {
      format: FORMAT,
      name,
      public_key: publicHex,
      cost,
      salt: salt.toString('hex'),
      iv: iv.toString('hex'),
      sealed: Buffer.concat(sealed).toString('hex'),
    }
    writeNew(path, `${JSON.stringify(file, null, 2)}\n`)
  } finally {
    wipe(key, der)
  }
  return opened(name, publicHex, privateKey)
}

/** Name and public key of a file, without its passphrase. Throws KeyFileFault. */
export function readKeyFile(path: string): { name: string; publicKey: string } {
  const { name, public_key: publicKey } = parsed(path)
  return { name, publicKey }
}

/** Opens a key file. Throws KeyFileFault; `passphrase` when it does not fit. */
export function openKeyFile(path: string, passphrase: Uint8Array): OfficerKey {
  const file = parsed(path)
  const key = stretched(passphrase, Buffer.from(file.salt, 'hex'), file.cost)
  const sealed = Buffer.from(file.sealed, 'hex')
  let seed: Buffer | undefined
  let der: Buffer | undefined
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(file.iv, 'hex'))
    decipher.setAAD(boundTo(file.name, file.public_key))
    decipher.setAuthTag(sealed.subarray(SEED_BYTES))
    seed = Buffer.concat([decipher.update(sealed.subarray(0, SEED_BYTES)), decipher.final()])
    der = Buffer.concat([PKCS8_HEAD, seed])
    const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    return opened(file.name, file.public_key, privateKey)
  } catch {
    throw new KeyFileFault('passphrase', `the passphrase does not open ${path}`)
  } finally {
    wipe(key, seed, der)
  }
}

function opened(name: string, publicKey: string, privateKey: KeyObject): OfficerKey {
  return {
    name,
    publicKey,
    sign: (text) => sign(null, Buffer.from(text, 'utf8'), privateKey).toString('hex'),
  }
}

/** The sealed bytes belong to one name and one public key. */
function boundTo(name: string, publicKey: string): Buffer {
  return Buffer.from(`${FORMAT}\n${name}\n${publicKey}\n`, 'utf8')
}

function stretched(passphrase: Uint8Array, salt: Uint8Array, cost: number): Buffer {
  return scryptSync(passphrase, salt, 32, { N: cost, r: 8, p: 1, maxmem: SCRYPT_MEMORY_MAX })
}

function parsed(path: string): KeyFile {
  if (!existsSync(path)) {
    const todo = 'name it as NAME=FILE, or see: switchyard keys officers add --help'
    throw new KeyFileFault('missing', `there is no key file ${path}; ${todo}`)
  }
  if ((statSync(path).mode & OTHERS) !== 0) {
    throw new KeyFileFault('mode', `${path} can be read by others; run: chmod 600 ${path}`)
  }
  const bad = new KeyFileFault('format', `${path} is no officer key file`)
  let file: unknown
  try {
    file = JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    throw bad
  }
  if (!isKeyFile(file)) throw bad
  return file
}

function isKeyFile(value: unknown): value is KeyFile {
  if (typeof value !== 'object' || value === null) return false
  const file = value as Record<string, unknown>
  const lengths: Readonly<Record<string, number>> = { public_key: 32, salt: 16, iv: 12, sealed: 48 }
  const whole = Object.entries(lengths).every(([field, bytes]) => {
    const text = file[field]
    return typeof text === 'string' && /^[0-9a-f]*$/.test(text) && text.length === bytes * 2
  })
  const cost = file['cost']
  const sane = cost === SCRYPT_COST || cost === SCRYPT_COST_MIN
  return whole && sane && file['format'] === FORMAT && typeof file['name'] === 'string'
}

function writeNew(path: string, text: string): void {
  const file = openSync(path, 'wx', PRIVATE_FILE)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
