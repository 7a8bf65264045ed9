/**
 * The Hsm port: what the switch may ask of a security module, in the words of payments.
 *
 * Called by pipeline steps and link life-cycle; implemented by `hsm/pkcs11` (a real token, in
 * worker threads) and by `hsm/software` (simulator and tests only). Keys are names; bytes go in and
 * come out; every outcome is a value, never an exception. A clear PIN or a clear key never crosses
 * this port. Rules: design.md section 7, PCI PIN requirement 3-3.
 */

/**
 * PIN block formats: ISO 9564-1 formats 0, 1, 3, 4 and the UnionPay X9.8 block with or without PAN.
 */
export type PinBlockFormat = 'iso0' | 'iso1' | 'iso3' | 'iso4' | 'unionpay_pan' | 'unionpay_no_pan'

/**
 * How a MAC is made. `x919` = ISO 9797-1 algorithm 3, zero padding (retail MAC); `x99` = algorithm
 * 1 with DES; `unionpay_pos_ecb` = the XOR-then-hex algorithm of UnionPay POS (result: 8 ASCII hex
 * characters); `cups_host` = `x919` over a prepared MAB text (result: 8 raw bytes, the caller keeps
 * what its field holds).
 */
export type MacAlgorithm = 'x919' | 'x99' | 'unionpay_pos_ecb' | 'cups_host'

/**
 * Which rule makes card key, session key and data authentication code (emv-pboc.md sections 4-7).
 */
export type CryptogramScheme = 'unionpay_cvn01' | 'visa_cvn10' | 'visa_cvn18'

/** What a key may be used for; one purpose per key (PCI PIN requirement 19). */
export type KeyUsage =
  | 'pin'
  | 'mac'
  | 'track'
  | 'kek'
  | 'pvk'
  | 'cvk'
  | 'imk_ac'
  | 'imk_smi'
  | 'imk_smc'

/**
 * Outcome of every verb. `ok` is the only success. `unavailable` = token gone or too slow;
 * `overloaded` = the bounded queue in front of the token is full; the other words say which check
 * refused.
 */
export type HsmOutcome =
  | 'ok'
  | 'bad_pin_block'
  | 'pin_mismatch'
  | 'mac_mismatch'
  | 'arqc_mismatch'
  | 'cvv_mismatch'
  | 'kcv_mismatch'
  | 'translation_forbidden'
  | 'key_missing'
  | 'key_usage'
  | 'bad_input'
  | 'overloaded'
  | 'unavailable'

export interface TranslatePinRequest {
  fromKey: string
  toKey: string
  block: Uint8Array // 8 bytes (16 for iso4)
  fromFormat: PinBlockFormat
  toFormat: PinBlockFormat
  pan: string // full PAN, same in and out
}

export interface VerifyPinRequest {
  pinKey: string
  block: Uint8Array
  format: PinBlockFormat
  pan: string
  method: PinVerification
}

/** Where the reference comes from; nothing in it lets a PIN be computed without the key. */
export type PinVerification =
  | { kind: 'pvv'; key: string; pvki: string; pvv: string }
  // Decimalisation table and validation data belong to the key's profile.
  | { kind: 'ibm3624'; key: string; offset: string }

export interface MacRequest {
  key: string
  algorithm: MacAlgorithm
  data: Uint8Array
}

export interface VerifyMacRequest extends MacRequest {
  mac: Uint8Array // compared over its own length: 4 or 8 bytes, in the algorithm's own form
}

export interface VerifyArqcRequest {
  imk: string
  scheme: CryptogramScheme
  pan: string
  panSequence: string // two digits, '00' when the card has none
  data: Uint8Array // cryptogram input in the order of the scheme, unpadded
  atc: Uint8Array // 2 bytes, 9F36
  arqc: Uint8Array // 8 bytes, 9F26
  responseCode: string // two characters that go into the ARPC, e.g. '00'
}

export interface GenerateArpcRequest extends Omit<VerifyArqcRequest, 'data'> {}

export interface VerifyCvvRequest {
  key: string
  pan: string
  expiry: string // four digits in the order fed to the algorithm
  serviceCode: string
  cvv: string
}

/** A working key made for a peer: once under the peer's key, once as our own key block. */
export interface WorkingKey {
  name: string
  usage: KeyUsage
  wrapped: Uint8Array // under the peer's KEK, ECB, 8 or 16 bytes
  kcv: Uint8Array // first 4 bytes of the legacy check value
  block: string // X9.143 key block under the token's block protection key
}

export interface MakeWorkingKeyRequest {
  name: string
  kek: string
  usage: KeyUsage
  bytes: 8 | 16 // 8 = single-length DES as UnionPay POS MAC keys; held as K|K
}

export interface ImportWorkingKeyRequest {
  name: string
  kek: string
  usage: KeyUsage
  wrapped: Uint8Array // 8 or 16 bytes under the KEK, ECB
  kcv: Uint8Array | null // compared over its own length (3, 4 or 8 bytes) before the key is kept
}

export interface ImportedKey {
  block: string
  kcv: Uint8Array
}

export interface HsmStatus {
  ready: boolean
  module: string
  slot: string
  workers: number
  queued: number
  capabilities: ReadonlyArray<{ name: string; available: boolean; note: string }>
}

export type HsmResult<T> = { outcome: 'ok'; value: T } | { outcome: Exclude<HsmOutcome, 'ok'> }

/** The payment verbs. No verb throws; a promise always settles within the adapter's own bound. */
export interface Hsm {
  translatePin(request: TranslatePinRequest): Promise<HsmResult<Uint8Array>>
  verifyPin(request: VerifyPinRequest): Promise<HsmResult<null>>
  generateMac(request: MacRequest): Promise<HsmResult<Uint8Array>>
  verifyMac(request: VerifyMacRequest): Promise<HsmResult<null>>
  /**
   * Verifies the ARQC and, in the same call, makes the ARPC for `responseCode`: the 91 value, ARPC
   * and code.
   */
  verifyArqc(request: VerifyArqcRequest): Promise<HsmResult<Uint8Array>>
  generateArpc(request: GenerateArpcRequest): Promise<HsmResult<Uint8Array>>
  verifyCvv(request: VerifyCvvRequest): Promise<HsmResult<null>>
  makeWorkingKey(request: MakeWorkingKeyRequest): Promise<HsmResult<WorkingKey>>
  importWorkingKey(request: ImportWorkingKeyRequest): Promise<HsmResult<ImportedKey>>
  /**
   * Secrets of the vault: 32 bytes for PAN sealing and 32 for PAN tokens, kept wrapped by the
   * token, never in a file.
   */
  vaultKeys(): Promise<HsmResult<{ seal: Uint8Array; token: Uint8Array }>>
  status(): HsmStatus
  close(): Promise<void>
}

/**
 * Where the adapter finds the key block of a working key; master keys are objects in the token
 * under the same name.
 */
export interface KeyDirectory {
  /**
   * The block of `name` in force, or null when only the token may know it. Bounded, answers from
   * memory or database.
   */
  find(name: string): Promise<string | null>
}
