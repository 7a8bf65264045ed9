/**
 * Store-and-forward: sends what the journal holds for a network until it is acknowledged.
 *
 * One drain per destination, made by main.ts. Rows leave only into a ready link, at most `window`
 * at once, one per original; an attempt is durable before its bytes leave, so a repeat after a
 * crash carries the same key data. What an answer means is the dialect's table: accepted, send
 * again, or parked for a person (behaviours.md C18 to C28).
 */

import type { Meaning } from '../../config/meaning.ts'
import type { Link, Message } from '../link/contract.ts'
import type { SafRow } from '../journal/port.ts'
import { SAF_POLL_MS } from '../limits.ts'
import type { Timer } from '../runtime/clock.ts'
import { crashPoint } from '../runtime/crash-point.ts'
import type { Pan } from '../secrets.ts'
import type { MessageBuilder } from './build-message.ts'
import type { Context } from './context.ts'
import { verifyMacInOverlap } from './key-overlap.ts'
import { macInput, macOf, MacTarget, type MacRule } from './mac.ts'
import { restoreTxn, type Txn, type TxnRecord } from './txn.ts'

export interface SafSettings {
  retryFirstMs: number
  retryMaxMs: number
  attemptsMax: number
  window: number
}

type ReversalRule = NonNullable<Meaning['reversal']>

/** A message that only has to be sent. */
interface Prepared {
  frame: Buffer
  stan: string
  at: string
  macRule: MacRule | null
  key: string
}

/** How a stored message's request is known to its link, so that a late answer finds its row. */
function safOwner(row: SafRow): string {
  return `saf/${row.id}/${row.txnId}`
}

/** The row and transaction of such an owner; null for any other. */
export function safRowOf(owner: string): { id: string; txnId: string } | null {
  const [mark, id, txnId] = owner.split('/')
  return mark === 'saf' && id && txnId ? { id, txnId } : null
}

export class SafDrain {
  readonly #link: Link
  readonly #builder: MessageBuilder
  readonly #context: Context
  readonly #settings: SafSettings
  readonly #sending = new Set<string>()
  #timer: Timer | null = null
  #looking = false
  #again = false
  #aheadMs = Number.NEGATIVE_INFINITY // of the wall clock before the monotonic one, at most

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
    const rows = await this.#context.journal.dueSaf(name, this.#nowMs(), room)
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
    const { journal } = this.#context
    const rule = this.#builder.meaning.reversal
    const hindrance = this.#hindrance(row, rule)
    if (!rule || hindrance !== '') {
      await journal.safPark(row.id, '', hindrance)
      return this.#told(row, 'parked', '')
    }
    const prepared = await this.#prepare(row, rule)
    if (!prepared) return this.#told(row, 'not_sent', '') // looked at again with the next poll
    const backOff = this.#settings.retryFirstMs * 2 ** Math.min(row.attempts, 20)
    const next = this.#nowMs() + Math.min(backOff, this.#settings.retryMaxMs)
    crashPoint('saf.before_attempt')
    await journal.safAttempt(row.id, prepared.stan, prepared.at, next)
    crashPoint('saf.after_attempt')
    const code = await this.#exchange(row, prepared)
    crashPoint('saf.after_exchange')
    if (code === null) return this.#told(row, 'timed_out', '') // due again at `next`
    crashPoint('saf.after_answer')
    if (rule.accepted.includes(code)) {
      crashPoint('saf.before_acknowledge')
      await journal.safAcknowledge(row.id, code)
      crashPoint('saf.after_acknowledge')
      this.#told(row, 'acknowledged', code)
      return this.wake() // there is room in the window for another
    }
    if (rule.retry.includes(code)) return this.#told(row, 'refused', code)
    crashPoint('saf.before_park')
    await journal.safPark(row.id, code, 'the network refused it')
    crashPoint('saf.after_park')
    this.#told(row, 'parked', code)
  }

  /**
   * The wall clock, but for steps back: attempts are due at wall-clock instants, and a clock that
   * is set back an hour must not keep a reversal waiting that long (reliability.md R11).
   */
  #nowMs(): number {
    const { clock } = this.#context
    this.#aheadMs = Math.max(this.#aheadMs, clock.wallMs() - clock.monotonicMs())
    return this.#aheadMs + clock.monotonicMs()
  }

  /** Why this row cannot go to its network at all; a person must look at it then. */
  #hindrance(row: SafRow, rule: ReversalRule | undefined): string {
    if (!rule) return 'the network has no reversal message'
    if (row.attempts >= this.#settings.attemptsMax) return 'attempts used up'
    if (row.releasedMinor !== null && !rule.partial) return 'the network has no partial reversal'
    return ''
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

  /** Whether the link would take one more now: what cannot leave is no attempt. */
  #hasRoom(): boolean {
    return this.#link.ready() && this.#link.pendingCount() < this.#link.settings.pendingMax
  }

  #stan(numbers: Context['numbers']): string | null {
    return numbers.take(`stan.${this.#link.settings.name}`)
  }

  /** The message, built and signed, before anything is counted; null while it cannot be made. */
  async #prepare(row: SafRow, rule: ReversalRule): Promise<Prepared | null> {
    const { hsm, numbers, calendar } = this.#context
    const { meaning } = this.#builder
    const stan = row.reversalStan || (rule.reuse_stan ? row.sentStan : this.#stan(numbers))
    if (stan === null || !this.#hasRoom()) return null
    const at = row.reversalTransmissionAt || calendar.transmission(meaning.transmission_time)
    const txn = this.#reversalOf(row, stan, at)
    if (!txn) return null
    const mti = row.reversalStan === '' ? rule.mti : rule.repeat_mti
    const frame = this.#builder.request(mti, txn, this.#context)
    const macRule = this.#builder.macRule(mti)
    const key = this.#context.profiles.get(this.#link.settings.name)?.macKey ?? ''
    if (macRule) {
      const target = new MacTarget(macRule, this.#builder.dialect, frame)
      const data = target.input()
      const mac = await hsm.generateMac({ key, algorithm: macRule.algorithm, data })
      if (mac.outcome !== 'ok') return null
      target.place(mac.value)
    }
    return { frame, stan, at, macRule, key }
  }

  /** Sends and waits: the response code, or null when there was none to be believed. */
  async #exchange(row: SafRow, { frame, macRule, key }: Prepared): Promise<string | null> {
    const answer = await this.#sendAndWait(frame, safOwner(row))
    if (!answer) return null
    try {
      const checked = macRule !== null && macRule.answers !== 'never'
      if (checked && !(await this.#macGood(answer, macRule, key))) return null
      return answer.view.text(this.#builder.meaning.response_code_field)
    } finally {
      answer.release()
    }
  }

  async #macGood(
    answer: Message,
    rule: MacRule,
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
      remainingMinor:
        row.releasedMinor === null ? null : row.facts.amountMinor - row.releasedMinor,
      stan,
      at,
    })
  }
}
