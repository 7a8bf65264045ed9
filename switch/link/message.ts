// hot path
/**
 * Received messages: one owned frame each, read through a view from a bounded pool.
 *
 * Made by link.ts for every frame, given to the pipeline through LinkHandlers, released by whoever
 * received it. A released message keeps its envelope, so that it can still be answered, and shows
 * no field any more.
 */
import type { Dialect } from '../codec/dialect.ts'
import { View } from '../codec/view.ts'
import type { Link, Message } from './contract.ts'
import { VIEW_POOL_MAX } from './limits.ts'

/** Views of one dialect and the count of messages that use one. */
export class ViewPool {
  readonly #dialect: Dialect
  readonly #free: View[] = []
  /** Messages that were not released yet. */
  inUse = 0

  constructor(dialect: Dialect) {
    this.#dialect = dialect
  }

  take(): View {
    this.inUse++
    return this.#free.pop() ?? new View(this.#dialect)
  }

  give(view: View): void {
    this.inUse--
    view.reset()
    if (this.#free.length < VIEW_POOL_MAX) this.#free.push(view)
  }

  /** Views that wait for reuse. */
  get idle(): number {
    return this.#free.length
  }
}

export class ReceivedMessage implements Message {
  readonly link: Link
  readonly connectionId: number
  readonly envelope: Uint8Array
  readonly receivedAtMs: number
  readonly receivedMono: number
  view: View
  readonly #pool: ViewPool
  #released = false

  constructor(
    link: Link, connectionId: number, envelope: Uint8Array, pool: ViewPool, receivedAtMs: number,
    receivedMono: number,
  ) {
    this.link = link
    this.connectionId = connectionId
    this.envelope = envelope
    this.receivedAtMs = receivedAtMs
    this.receivedMono = receivedMono
    this.view = pool.take()
    this.#pool = pool
  }

  release(): void {
    if (this.#released) return
    this.#released = true
    this.#pool.give(this.view)
    // Whoever still holds the message sees an empty view, never the next message's fields.
    this.view = NOTHING
  }
}

const NOTHING = new View()
