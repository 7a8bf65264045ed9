// hot path
/**
 * Runs requests through their flows: admission, duplicates in flight, the answer, and what must be
 * settled later.
 *
 * Links hand requests to `Pipeline` (it implements LinkHandlers); main.ts makes one. Whatever a
 * step does, exactly one answer leaves per request, and none before what it says is durable
 * (design.md section 5).
 */

import type {
  LateAnswer, Link, LinkHandlers, LinkState, Message, NearMiss,
} from '../link/contract.ts'
import { isOutcomeUnknown } from '../journal/port.ts'
import {
  DUPLICATES_WAITING_MAX, TRANSACTIONS_IN_FLIGHT_MAX,
} from '../limits.ts'
import { isApproved } from '../reasons.ts'
import { crashPoint } from '../runtime/crash-point.ts'
import { ulid } from '../runtime/ulid.ts'
import type { MessageBuilder } from './build-message.ts'
import { keyNames, refuse, type Context, type Next, type Step } from './context.ts'
import { flowsFor, walkFlow, type Flow } from './flows.ts'
import { MacTarget } from './mac.ts'
import { readRequest, type Reader } from './read-request.ts'
import { safRowOf } from './saf.ts'
import { Txn, type RequestKind } from './txn.ts'

/** Owners of requests are transaction ids (ULID), or rows of store-and-forward. */
const TXN_ID = /^[0-9A-HJKMNP-TV-Z]{26}$/

export interface PipelineParts {
  context: Context
  builders: ReadonlyMap<string, MessageBuilder> // by link name
  readers: ReadonlyMap<string, Reader> // by link name
  linkChanged(link: Link, from: LinkState, to: LinkState, cause: string): void
  malformed(link: Link, fault: { kind: string; field: number; offset: number }): void
}

export class Pipeline implements LinkHandlers {
  readonly #parts: PipelineParts
  readonly #context: Context
  readonly #flows: ReadonlyMap<RequestKind, Flow>
  readonly #inFlight = new Map<string, Txn>()
  readonly #whenDone = new Map<string, Array<() => void>>()
  #count = 0

  constructor(parts: PipelineParts) {
    this.#parts = parts
    this.#context = parts.context
    this.#flows = flowsFor(parts, this.#joinDuplicate, this.#awaitOriginal)
  }

  /** Transactions that are being worked on. */
  inFlight(): number {
    return this.#count
  }

  // LinkHandlers

  request(message: Message): void {
    const txn = this.#open(message)
    if (!txn) return
    // A reversal or advice is never shed: what it undoes has already happened (behaviours.md N81,
    // R13).
    const sheddable = txn.kind !== 'reversal'
    if (sheddable && this.#count >= TRANSACTIONS_IN_FLIGHT_MAX) {
      txn.refuse('overload')
      void this.#finish(txn)
      return
    }
    void this.#work(txn)
  }

  notSignedOn(message: Message): void {
    const txn = this.#open(message)
    if (!txn) return
    txn.refuse('not_signed_on')
    void this.#finish(txn)
  }

  malformed(message: Message, fault: { kind: string; field: number; offset: number }): void {
    this.#parts.malformed(message.link, fault)
    const txn = this.#answerable(message) ? this.#open(message) : null
    if (!txn) return message.release()
    txn.note(message.receivedAtMs, 'format.refused', `${fault.kind} field ${fault.field}`)
    txn.refuse('format_error')
    void this.#finish(txn)
  }

  rejected(link: Link, _envelope: Uint8Array, _original: Uint8Array): void {
    this.#context.observer.rejected(link.settings.name)
  }

  unmatched(message: Message, late: LateAnswer | null, near: NearMiss | null): void {
    const { observer, clock, journal } = this.#context
    const link = message.link.settings.name
    const code = message.view.text(message.link.settings.meaning.response_code_field)
    message.release()
    if (!late) {
      observer.unmatchedAnswer(link, near?.owner ?? '', near?.field ?? 0)
      return
    }
    const saf = safRowOf(late.owner)
    if (!saf && !TXN_ID.test(late.owner)) return // one of the link's own network messages
    observer.lateAnswer(link, late.owner, code)
    crashPoint('late_answer.after_received')
    const event = { atMs: clock.wallMs(), what: 'answer.late', detail: `${link} ${code}` }
    const accepted = message.link.settings.meaning.reversal?.accepted ?? []
    if (saf && accepted.includes(code)) {
      journal.safAcknowledge(saf.id, code).catch((error: unknown) => {
        observer.failed('saf', error)
      })
    }
    journal.note(saf?.txnId ?? late.owner, [event]).catch((error: unknown) => {
      observer.failed('journal.note', error)
    })
  }

  failed(_link: Link, error: unknown): void {
    this.#context.observer.failed('frame', error)
  }

  stateChanged(link: Link, from: LinkState, to: LinkState, cause: string): void {
    this.#parts.linkChanged(link, from, to, cause)
    if (to === 'ready') this.#context.wakeSaf(link.settings.name)
  }

  // One transaction

  #open(message: Message): Txn | null {
    const reader = this.#parts.readers.get(message.link.settings.name)
    if (!reader) {
      message.release()
      return null
    }
    const { clock, random } = this.#context
    const txn = new Txn(ulid(clock, random), message)
    readRequest(txn, reader)
    const { name } = message.link.settings
    crashPoint('request.after_read')
    txn.note(message.receivedAtMs, 'request.received', `${name} ${message.view.mti}`)
    return txn
  }

  /** Only requests are answered, and only those whose MTI was read. */
  #answerable(message: Message): boolean {
    const mti = message.view.mti
    return mti !== '0000' && Number(mti[2]) % 2 === 0
  }

  async #work(txn: Txn): Promise<void> {
    this.#count++
    try {
      const next = await this.#decide(txn)
      if (next === 'drop') return // it waits for the transaction it repeats, which answers it
      crashPoint('answer.after_decided')
      await this.#finish(txn)
    } finally {
      this.#count--
    }
  }

  async #decide(txn: Txn): Promise<Next> {
    const flow = txn.kind ? this.#flows.get(txn.kind) : undefined
    if (!flow) return refuse(txn, 'unsupported_transaction')
    try {
      return await walkFlow(flow, txn, this.#context)
    } catch (error) {
      this.#context.observer.failed('flow', error)
      const unknown = isOutcomeUnknown(error)
      txn.silent = unknown && txn.panToken !== null // keys and sign-ons are no money: asked again
      const open = txn.sentStan !== '' // an intent may stand that nobody else will conclude
      if ((unknown || open) && txn.kind !== 'reversal') this.#context.unsettled(txn)
      return refuse(txn, 'malfunction')
    }
  }

  /** Answers, logs and lets go; then the same for the repeats that waited for this one. */
  async #finish(txn: Txn): Promise<void> {
    await this.#answer(txn)
    if (this.#inFlight.get(txn.businessKey) === txn) this.#inFlight.delete(txn.businessKey)
    for (const repeat of txn.waiting) {
      repeat.answer = txn.answer
      repeat.answerIcc = txn.answerIcc
      repeat.route = txn.route
      repeat.replayed = true
      repeat.silent = txn.silent
      await this.#answer(repeat)
    }
    const callbacks = this.#whenDone.get(txn.businessKey)
    this.#whenDone.delete(txn.businessKey)
    for (const callback of callbacks ?? []) callback()
  }

  async #answer(txn: Txn): Promise<void> {
    const { clock, observer } = this.#context
    try {
      // Told "no" now, a terminal would not reverse what may stand; told nothing, it does.
      const sent = !txn.silent && (await this.#reply(txn))
      crashPoint('answer.after_send')
      if (!sent) this.#undelivered(txn)
    } catch (error) {
      observer.failed('answer', error)
    }
    observer.completed(txn, clock.monotonicMs() - txn.message.receivedMono)
    txn.message.release()
  }

  /** The originator has gone: it will reverse what it did not hear of; here it is only told. */
  #undelivered(txn: Txn): void {
    const { clock, journal, observer } = this.#context
    const link = txn.link.settings.name
    observer.undelivered(link, txn.id)
    if (!txn.journaled) return
    const event = { atMs: clock.wallMs(), what: 'answer.undelivered', detail: link }
    journal.note(txn.id, [event]).catch((error: unknown) => observer.failed('journal.note', error))
  }

  async #reply(txn: Txn): Promise<boolean> {
    const name = txn.link.settings.name
    const builder = this.#parts.builders.get(name)
    if (!builder) return false
    const rule = builder.macRule(txn.message.view.mti)
    const profile = this.#context.profiles.get(name)
    const own = txn.terminal ? keyNames.terminalMac(txn.terminal) : (profile?.macKey ?? '')
    const key = txn.macKey || own
    const frame = builder.reply(txn, this.#context, key !== '')
    if (!rule || key === '') return txn.link.reply(txn.message, frame)
    const target = new MacTarget(rule, builder.dialect, frame)
    const data = target.input()
    const mac = await this.#context.hsm.generateMac({ key, algorithm: rule.algorithm, data })
    if (mac.outcome === 'ok') {
      target.place(mac.value)
      crashPoint('answer.before_send')
    return txn.link.reply(txn.message, frame)
    }
    // Who has no key yet, or while the token is gone: a refusal goes without MAC, an approval
    // never.
    if (isApproved(txn.answer.reason)) return false
    return txn.link.reply(txn.message, builder.reply(txn, this.#context, false))
  }

  // Duplicates and originals in flight

  /**
   * The same request again while the first is worked on joins it: one host call, two answers
   * (behaviours.md D31).
   */
  readonly #joinDuplicate: Step = (txn) => {
    if (this.#context.isUnsettled(txn.businessKey)) return refuse(txn, 'malfunction')
    const first = this.#inFlight.get(txn.businessKey)
    if (!first) {
      this.#inFlight.set(txn.businessKey, txn)
      return 'next'
    }
    if (first.bodyHash !== txn.bodyHash) return refuse(txn, 'duplicate_conflict')
    if (first.waiting.length >= DUPLICATES_WAITING_MAX) return refuse(txn, 'duplicate_in_progress')
    txn.note(this.#context.clock.wallMs(), 'duplicate.joined', first.id)
    crashPoint('duplicate.after_joined')
    first.waiting.push(txn)
    return 'drop'
  }

  /** A reversal that overtakes its original in here waits until the original has its outcome. */
  readonly #awaitOriginal: Step = (txn) => {
    if (!this.#inFlight.has(txn.originalKey)) return 'next'
    return new Promise<Next>((resolve) => {
      const callbacks = this.#whenDone.get(txn.originalKey) ?? []
      callbacks.push(() => resolve('next'))
      this.#whenDone.set(txn.originalKey, callbacks)
    })
  }
}
