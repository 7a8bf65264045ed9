// What terminals and cards remember between runs: the last STAN and batch of each terminal, the
// transaction counter (9F36) of each card. One small JSON file in the data directory, replaced as a
// whole at each change. Used by the POS and ATM simulators; it holds no card data, cards are named.

import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

import type { Random } from '../../switch/runtime/random.ts'

interface Remembered {
  stan: Record<string, number>
  batch: Record<string, string>
  atc: Record<string, number>
}

const STAN_MAX = 999_999
const ATC_MAX = 65_535 // two bytes; a real card then refuses for good, ours begins again

export class TerminalState {
  readonly #path: string | null
  readonly #random: Random

  /** @param path null for a memory-only state, in tests */
  constructor(path: string | null, random: Random) {
    this.#path = path
    this.#random = random
  }

  #memory: Remembered = { stan: {}, batch: {}, atc: {} }

  /** The terminal's next STAN, six digits. Without a memory it begins anywhere, not at one. */
  nextStan(terminal: string): string {
    return this.#change((state) => {
      const last = state.stan[terminal] ?? this.#random.below(STAN_MAX)
      state.stan[terminal] = (last % STAN_MAX) + 1
      return String(state.stan[terminal]).padStart(6, '0')
    })
  }

  /** The card's next transaction counter. */
  nextAtc(card: string): number {
    return this.#change((state) => {
      state.atc[card] = ((state.atc[card] ?? 0) % ATC_MAX) + 1
      return state.atc[card]
    })
  }

  /** Batch number of a terminal, six digits. */
  batch(terminal: string): string {
    return this.#read().batch[terminal] ?? '000001'
  }

  setBatch(terminal: string, batch: string): void {
    this.#change((state) => {
      state.batch[terminal] = batch
    })
  }

  #change<T>(change: (state: Remembered) => T): T {
    const state = this.#read()
    const result = change(state)
    this.#memory = state
    if (this.#path !== null) {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 })
      const next = `${this.#path}.new`
      writeFileSync(next, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 })
      renameSync(next, this.#path)
    }
    return result
  }

  #read(): Remembered {
    if (this.#path === null) return this.#memory
    try {
      return { ...this.#memory, ...(JSON.parse(readFileSync(this.#path, 'utf8')) as Remembered) }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return this.#memory
      throw error
    }
  }
}
