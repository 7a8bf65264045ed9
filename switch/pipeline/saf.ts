/**
 * Store-and-forward: sends what the journal holds for a network until it is acknowledged.
 *
 * One drain per destination, made by main.ts. Rows leave only into a ready link, at most `window`
 * at once, one per original; an attempt is durable before its bytes leave, so a repeat after a
 * crash carries the same key data. What an answer means is the dialect's table: accepted, send
 * again, or parked for a person (behaviours.md C18 to C28).
 */

import type { Link, Message } from '../link/contract.ts'
import type { SafRow } from '../journal/port.ts'
import { SAF_POLL_MS } from '../limits.ts'
import type { Timer } from '../runtime/clock.ts'
import { crashPoint } from '../runtime/crash-point.ts'
import type { Pan } from '../secrets.ts'
import type { MessageBuilder } from './build-message.ts'
import type { Context } from './context.ts'
import { verifyMacInOverlap } from './key-overlap.ts'
import { macInput, macOf, MacTarget } from './mac.ts'
import { restoreTxn, type Txn, type TxnRecord } from './txn.ts'

export interface SafSettings {
  retryFirstMs: number
  retryMaxMs: number
  attemptsMax: number
  window: number
}

type Ending = { kind: 'answered'; code: string } | { kind: 'silent' }

export class SafDrain {
  readonly #link: Link
  readonly #builder: MessageBuilder
  readonly #context: Context
  readonly #settings: SafSettings
  readonly #sending = new Set<string>()
  #timer: Timer | null = null
  #looking = false
  #again = false

  constructor(link: Link, builder: MessageBuilder, context: Context, settings: SafSettings) {
    this.#link = link
    this.#builder = builder
    this.#context = context
    this.#settings = settings
  }

  start(): void {
    this.#timer = this.#context.clock.every(SAF_POLL_MS, () => this.wake())
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  /** Something may be due: looks once, or once more when a look is under way. */
  wake(): void {
    if (!this.#link.ready() || this.#timer === null) return
    if (this.#looking) {
      this.#again = true
      return
    }
    this.#looking = true
    this.#look()
      .catch((error: unknown) => this.#context.observer.failed('saf', error))
      .finally(() => {
        this.#looking = false
        if (this.#again) {
          this.#again = false
          this.wake()
        }
      })
  }

  async #look(): Promise<void> {
    const room = this.#settings.window - this.#sending.size
    if (room <= 0) return
    const name = this.#link.settings.name
    const rows = await this.#context.journal.dueSaf(name, this.#context.clock.wallMs(), room)
    crashPoint('saf.after_due_read')
    for (const row of rows) {
      if (this.#sending.has(row.id)) continue
      this.#sending.add(row.id)
      this.#send(row)
        .catch((error: unknown) => this.#context.observer.failed('saf', error))
        .finally(() => this.#sending.delete(row.id))
    }
  }

  async #send(row: SafRow): Promise<void> {
    const { journal, clock, numbers, calendar } = this.#context
    const rule = this.#builder.meaning.reversal
    if (!rule) return journal.safPark(row.id, '', 'the network has no reversal message')
    if (row.attempts >= this.#settings.attemptsMax) {
      await journal.safPark(row.id, '', 'attempts used up')
      return this.#told(row, 'parked', '')
    }
    const stan = row.reversalStan || (rule.reuse_stan ? row.sentStan : this.#stan(numbers))
    if (stan === null) return
    const at =
      row.reversalTransmissionAt || calendar.transmission(this.#builder.meaning.transmission_time)
    const backOff = this.#settings.retryFirstMs * 2 ** Math.min(row.attempts, 20)
    const next = clock.wallMs() + Math.min(backOff, this.#settings.retryMaxMs)
    crashPoint('saf.before_attempt')
    await journal.safAttempt(row.id, stan, at, next)
    crashPoint('saf.after_attempt')
    const mti = row.attempts === 0 ? rule.mti : rule.repeat_mti
    const ending = await this.#exchange(row, mti, stan, at)
    crashPoint('saf.after_exchange')
    if (ending.kind === 'silent') return this.#told(row, 'timed_out', '') // due again at `next`
    crashPoint('saf.after_answer')
    const { code } = ending
    if (rule.accepted.includes(code)) {
      crashPoint('saf.before_acknowledge')
      await journal.safAcknowledge(row.id, code)
      crashPoint('saf.after_acknowledge')
      return this.#told(row, 'acknowledged', code)
    }
    if (rule.retry.includes(code)) return this.#told(row, 'refused', code)
    crashPoint('saf.before_park')
    await journal.safPark(row.id, code, 'the network refused it')
    crashPoint('saf.after_park')
    this.#told(row, 'parked', code)
  }

  #told(
    row: SafRow,
    outcome: 'acknowledged' | 'refused' | 'timed_out' | 'not_sent' | 'parked',
    code: string,
  ): void {
    const { observer, journal, clock } = this.#context
    const attempt = row.attempts + 1
    observer.safAttempted(row.destination, row.txnId, outcome, attempt, code)
    const detail = `${row.destination} attempt ${attempt} ${code}`.trim()
    const event = { atMs: clock.wallMs(), what: `saf.${outcome}`, detail }
    journal.note(row.txnId, [event]).catch((error: unknown) => {
      observer.failed('journal.note', error)
    })
  }

  #stan(numbers: Context['numbers']): string | null {
    return numbers.take(`stan.${this.#link.settings.name}`)
  }

  async #exchange(row: SafRow, mti: string, stan: string, at: string): Promise<Ending> {
    const txn = this.#reversalOf(row, stan, at)
    if (!txn) return { kind: 'silent' }
    const frame = this.#builder.request(mti, txn, this.#context)
    const rule = this.#builder.macRule(mti)
    const key = this.#context.profiles.get(this.#link.settings.name)?.macKey ?? ''
    if (rule) {
      const target = new MacTarget(rule, this.#builder.dialect, frame)
      const data = target.input()
      const mac = await this.#context.hsm.generateMac({ key, algorithm: rule.algorithm, data })
      if (mac.outcome !== 'ok') return { kind: 'silent' }
      target.place(mac.value)
    }
    const answer = await this.#sendAndWait(frame, row.txnId)
    if (!answer) return { kind: 'silent' }
    try {
      if (rule && rule.answers !== 'never' && !(await this.#macGood(answer, rule, key))) {
        return { kind: 'silent' }
      }
      return { kind: 'answered', code: answer.view.text(this.#builder.meaning.response_code_field) }
    } finally {
      answer.release()
    }
  }

  async #macGood(
    answer: Message,
    rule: NonNullable<ReturnType<MessageBuilder['macRule']>>,
    key: string,
  ): Promise<boolean> {
    const mac = macOf(rule, answer.view)
    if (!mac) return false
    const data = Uint8Array.from(macInput(rule, answer.view))
    const { hsm, overlap } = this.#context
    const request = { key, algorithm: rule.algorithm, data, mac }
    const result = await verifyMacInOverlap(hsm, overlap, request)
    return result.outcome === 'ok'
  }

  #sendAndWait(frame: Buffer, owner: string): Promise<Message | null> {
    const profile = this.#context.profiles.get(this.#link.settings.name)
    const deadline = this.#context.clock.monotonicMs() + (profile?.replyTimeoutMs ?? 0)
    return new Promise((resolve) => {
      const sent = this.#link.send(frame, owner, deadline, {
        answered: (message) => resolve(message),
        timedOut: () => resolve(null),
        lost: () => resolve(null),
      })
      crashPoint('saf.after_send')
      if (sent !== 'sent') resolve(null)
    })
  }

  /**
   * The original as a transaction record, with the numbers of its reversal; null when its PAN
   * cannot be read.
   */
  #reversalOf(row: SafRow, stan: string, at: string): Txn | null {
    const pan: Pan | null = this.#context.vault.open(row.facts.panSealed)
    if (!pan) {
      this.#context.observer.failed('saf', new Error('a sealed card number does not open'))
      return null
    }
    return restoreTxn(row.txnId, this.#link, JSON.parse(row.facts.record) as TxnRecord, {
      kind: row.facts.kind,
      pan,
      answer: row.answer,
      route: row.destination,
      original: { mti: row.sentMti, stan: row.sentStan, at: row.sentTransmissionAt },
      stan,
      at,
    })
  }
}
