// The address of a buffer, for CK_KEY_DERIVATION_STRING_DATA {pointer, length} (PKCS#11 v2.40,
// 2.15.7.2), which pkcs11js has no parameter type for. C's memmove returns its first argument, so
// moving zero bytes of a buffer onto itself tells where it lies. Used by session.ts only.

import { DataType, load, open } from 'ffi-rs'

const LIBRARY = 'switchyard_c'
let opened = false

/** Address of the first byte. The caller keeps the buffer referenced while the address is used. */
function addressOf(buffer: Buffer): bigint {
  if (!opened) {
    open({ library: LIBRARY, path: '' }) // the process itself, which has the C library
    opened = true
  }
  const address: unknown = load({
    library: LIBRARY,
    funcName: 'memmove',
    retType: DataType.BigInt,
    paramsType: [DataType.U8Array, DataType.U8Array, DataType.I32],
    paramsValue: [buffer, buffer, 0],
  })
  return BigInt(address as bigint)
}

/**
 * Derivation data in memory that stays where it is, with the struct that points at it. One per
 * session: the address is asked for once, then only the bytes change.
 */
export class DerivationData {
  readonly #data: Buffer
  readonly #struct = Buffer.alloc(16)
  readonly #length: DataView

  /** @param bytesMax longest data that will be set */
  constructor(bytesMax: number) {
    // Not from Node's shared pool, whose slices have offsets that ffi need not respect.
    this.#data = Buffer.from(new ArrayBuffer(bytesMax))
    this.#struct.writeBigUInt64LE(addressOf(this.#data), 0)
    this.#length = new DataView(this.#struct.buffer, this.#struct.byteOffset, 16)
  }

  /** The 16-byte struct for `data`; valid until the next call. Little-endian 64-bit only. */
  parameter(data: Uint8Array): Buffer {
    if (data.length > this.#data.length) throw new RangeError('derivation data too long')
    this.#data.set(data)
    this.#length.setBigUint64(8, BigInt(data.length), true)
    return this.#struct
  }
}
