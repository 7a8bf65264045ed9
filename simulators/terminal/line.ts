// What the POS and ATM simulators share: a line to the switch on which one request at a time waits
// for its answer, and the record of how an operation went. Knows no dialect.

import type { Clock } from '../../switch/runtime/clock.ts'
import type { BookFile, BookLine } from '../book.ts'
import type { SyntheticCard } from '../cards.ts'
import { type ReadMessage, Wire } from '../messages.ts'
import { type Address, type Line, dialLine } from '../transport.ts'

/** How one operation of a terminal went. */
export interface OperationResult {
  readonly operation: string
  readonly card: string
  /** DE39, or '' when no answer came. */
  readonly code: string
  readonly stan: string
  readonly rrn: string
  readonly authorisation: string
  readonly amountMinor: number
  /** Available balance of the answer, minor units; null when it has none. */
  readonly balanceMinor: number | null
  readonly ms: number
  /** Whether the answer's MAC was right; null when no answer came or it carries none. */
  readonly macRight: boolean | null
  /** Whether tag 91 satisfied the card; null without chip or tag 91. */
  readonly issuerGenuine: boolean | null
  /** What else is worth a word: a cause, a check that failed. */
  readonly note: string
}

/** An answer, or why there is none: `no_answer`, or how the line ended. */
export interface Exchange {
  readonly message: ReadMessage | null
  readonly ms: number
  readonly missing: string
}

const UNEXPECTED_MAX = 100 // late and repeated answers kept for inspection
const CONNECT_TIMEOUT_MS = 5_000

/** One connection of a terminal. */
export class TerminalLine {
  readonly #clock: Clock
  readonly #wire: Wire
  #line: Line | null = null
  #waiting: { matches(message: ReadMessage): boolean; settle(exchange: Exchange): void } | null =
    null
  /** Answers that nothing waited for, oldest first. */
  readonly unexpected: ReadMessage[] = []

  constructor(wire: Wire, clock: Clock) {
    this.#wire = wire
    this.#clock = clock
  }

  get connected(): boolean {
    return this.#line !== null
  }

  /** Dials. Rejects in one line that names the address. */
  connect(to: Address): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(CONNECT_TIMEOUT_MS, () => line.close('connect_timeout'))
      const line = dialLine(to, this.#wire.framing, {
        opened: (opened) => {
          timer.cancel()
          this.#line = opened
          resolve()
        },
        message: (_line, _envelope, bytes) => this.#receive(bytes),
        idle: () => undefined,
        closed: (_line, cause) => {
          timer.cancel()
          this.#line = null
          this.#waiting?.settle({ message: null, ms: 0, missing: cause })
          reject(new Error(`cannot connect to ${to.host}:${to.port}: ${cause}`))
        },
      })
    })
  }

  /** Sends a request and waits for the answer that `matches`. Never rejects. */
  exchange(
    envelope: Uint8Array,
    message: Uint8Array,
    matches: (message: ReadMessage) => boolean,
    timeoutMs: number,
  ): Promise<Exchange> {
    const began = this.#clock.monotonicMs()
    const line = this.#line
    return new Promise((resolve) => {
      const settle = (exchange: Exchange): void => {
        timer.cancel()
        this.#waiting = null
        resolve({ ...exchange, ms: Math.round(this.#clock.monotonicMs() - began) })
      }
      const timer = this.#clock.after(timeoutMs, () =>
        settle({ message: null, ms: 0, missing: 'no_answer' }),
      )
      this.#waiting = { matches, settle }
      const sent = line !== null && line.send(envelope, message)
      if (!sent) settle({ message: null, ms: 0, missing: 'not_connected' })
    })
  }

  /** Sends bytes as they are, for broken input on purpose. */
  sendRaw(bytes: Uint8Array): boolean {
    return this.#line?.sendRaw(bytes) ?? false
  }

  close(): void {
    this.#line?.close('done')
    this.#line = null
  }

  #receive(bytes: Uint8Array): void {
    const message = this.#wire.read(bytes)
    if (typeof message === 'string') {
      this.#waiting?.settle({ message: null, ms: 0, missing: `unreadable: ${message}` })
      return
    }
    const waiting = this.#waiting
    if (waiting !== null && waiting.matches(message)) {
      waiting.settle({ message, ms: 0, missing: '' })
      return
    }
    this.unexpected.push(message)
    if (this.unexpected.length > UNEXPECTED_MAX) this.unexpected.shift()
  }
}

/** Available balance in DE54 (balance type 02, else the first group), minor units; null if none. */
export function balanceOf(additionalAmounts: string): number | null {
  const groups = additionalAmounts.match(/[0-9A-Z]{2}[0-9A-Z]{2}[0-9A-Z]{3}[CD][0-9]{12}/g) ?? []
  const group = groups.find((one) => one.slice(2, 4) === '02') ?? groups[0]
  if (group === undefined) return null
  const amount = Number(group.slice(8))
  return group[7] === 'D' ? -amount : amount
}

/** Writes what a terminal saw into its book. */
export function noteInBook(
  book: BookFile | null,
  event: string,
  card: SyntheticCard | null,
  rest: Partial<BookLine>,
): void {
  book?.append(event, card?.pan ?? '', rest)
}
