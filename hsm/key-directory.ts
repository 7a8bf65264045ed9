// A KeyDirectory that remembers: name of a working key to its key block, in front of the journal.
// Used by main.ts; filled by key exchange through put(). Blocks are ciphertext, so the memory holds
// no secret. Bounded: the least recently used name is forgotten and read again when asked for.

import type { KeyDirectory } from './port.ts'

/** The part of the journal that key blocks come from. */
export interface KeyBlockStore {
  keyBlock(name: string): Promise<string | null>
}

/** Names remembered: 50,000 terminals with two keys each, about 40 MB of text at most. */
export const KEY_CACHE_NAMES_MAX = 100_000

export class KeyCache implements KeyDirectory {
  readonly #store: KeyBlockStore
  readonly #namesMax: number
  // A Map keeps insertion order; a name that is used is put back at the end. Absence is remembered
  // too, because every master key is asked for on every call and is never in the store.
  readonly #blocks = new Map<string, string | null>()
  readonly #reading = new Map<string, Promise<string | null>>()

  constructor(store: KeyBlockStore, namesMax = KEY_CACHE_NAMES_MAX) {
    this.#store = store
    this.#namesMax = namesMax
  }

  /** The block in force, or null for a name that the store does not know. */
  find(name: string): Promise<string | null> {
    const known = this.#blocks.get(name)
    if (known !== undefined) {
      this.#remember(name, known)
      return Promise.resolve(known)
    }
    const reading = this.#reading.get(name)
    if (reading !== undefined) return reading
    const read: Promise<string | null> = this.#store.keyBlock(name).then(
      (block) => {
        // A put() or forget() that came while the store was read is newer than what was read.
        if (this.#reading.get(name) !== read) return this.#blocks.get(name) ?? block
        this.#reading.delete(name)
        this.#remember(name, block)
        return block
      },
      (error: unknown) => {
        if (this.#reading.get(name) === read) this.#reading.delete(name)
        throw error
      },
    )
    this.#reading.set(name, read)
    return read
  }

  /** Puts a block in force at once; the caller has made it durable before. */
  put(name: string, block: string): void {
    this.#reading.delete(name)
    this.#remember(name, block)
  }

  /** Forgets a name, so that the next call reads the store. */
  forget(name: string): void {
    this.#reading.delete(name)
    this.#blocks.delete(name)
  }

  #remember(name: string, block: string | null): void {
    this.#blocks.delete(name)
    this.#blocks.set(name, block)
    if (this.#blocks.size <= this.#namesMax) return
    for (const oldest of this.#blocks.keys()) {
      this.#blocks.delete(oldest)
      break
    }
  }
}
