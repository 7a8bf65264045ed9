/**
 * Builds the messages a link sends: requests from a transaction, answers to its originator,
 * reversals.
 *
 * One builder per link, made by main.ts; the dialect's meaning says which item goes into which
 * field. Used by steps, the runner and store-and-forward. It changes no transaction and sends
 * nothing.
 */

import type { Meaning } from '../../config/meaning.ts'
import type { Dialect } from '../codec/dialect.ts'
import { answerMti } from '../codec/mti.ts'
import { MessageWriter } from '../codec/writer.ts'
import { isApproved, isReason, REASON_NAMES, type Reason } from '../reasons.ts'
import { MESSAGE_BYTES_MAX } from '../limits.ts'
import type { Context, LinkProfile } from './context.ts'
import { itemNamed, type Item, type ItemTarget } from './items.ts'
import { MAC_PLACEHOLDER, type MacRule } from './mac.ts'
import type { Txn } from './txn.ts'

type Fill = ReadonlyArray<readonly [field: number, item: Item]>

interface ReplyShape {
  echo: readonly number[]
  set: Fill
  approved: Fill
  codes: Readonly<Record<string, string>>
}

/** Which fields of a message could not be built; the message is not sent. */
export class BuildError extends Error {
  readonly code = 'message_not_built'

  constructor(mti: string, field: number, kind: string) {
    super(`cannot build ${mti}: field ${field}: ${kind}`)
    this.name = 'BuildError'
  }
}

export class MessageBuilder {
  readonly dialect: Dialect
  readonly meaning: Meaning
  readonly #profile: LinkProfile
  readonly #writer: MessageWriter
  readonly #requests = new Map<string, Fill>()
  readonly #replies = new Map<string, ReplyShape>()
  readonly #codeOf = new Map<string, string>()

  /**
   * Throws with every wrong item name or missing response code, so that a start fails and not a
   * transaction.
   */
  constructor(dialect: Dialect, meaning: Meaning, profile: LinkProfile) {
    this.dialect = dialect
    this.meaning = meaning
    this.#profile = profile
    this.#writer = new MessageWriter(dialect, MESSAGE_BYTES_MAX)
    for (const [mti, shape] of Object.entries(meaning.requests)) {
      this.#requests.set(mti, fillOf(shape.build))
    }
    for (const [mti, shape] of Object.entries(meaning.replies)) {
      this.#replies.set(mti, {
        echo: shape.echo,
        set: fillOf(shape.set),
        approved: fillOf(shape.approved),
        codes: shape.codes,
      })
    }
    this.#prepareCodes()
  }

  #prepareCodes(): void {
    if (this.#replies.size === 0) return // a network we only ask never needs our codes
    const missing: string[] = []
    for (const reason of REASON_NAMES) {
      const code = this.meaning.response_codes[reason]
      if (code === undefined) missing.push(reason)
      else this.#codeOf.set(reason, code)
    }
    if (missing.length > 0) {
      throw new Error(`dialect ${this.dialect.name}: no response code for ${missing.join(', ')}`)
    }
    for (const word of Object.keys(this.meaning.response_codes)) {
      if (!isReason(word)) throw new Error(`dialect ${this.dialect.name}: no reason "${word}"`)
    }
  }

  /** The code of this network for a reason. */
  codeFor(reason: string): string {
    const known = isReason(reason) ? reason : 'malfunction'
    return this.#codeOf.get(known) ?? this.#codeOf.get('malfunction') ?? '96'
  }

  /** The reason for a response code of this network; null when the table has none. */
  reasonFor(code: string): Reason | null {
    const reason = this.meaning.reasons[code]
    return reason !== undefined && isReason(reason) ? reason : null
  }

  /**
   * A request or reversal of this network made from a transaction; header included, MAC a
   * placeholder.
   */
  request(mti: string, txn: Txn, context: Context): Buffer {
    const fill = this.#requests.get(mti)
    if (!fill) throw new BuildError(mti, 0, 'the dialect has no such request')
    const writer = this.#writer
    writer.begin(mti)
    if (this.dialect.header) writer.header(this.dialect.header.request(this.#profile.institution))
    this.#fill(fill, txn, { profile: this.#profile, context })
    if (this.macRule(mti)) this.#setMac()
    return this.#finish(mti)
  }

  /**
   * The answer to the originator of `txn`, from its own request and the answer it got.
   * `signed`: with room for a MAC where the dialect has one.
   */
  reply(txn: Txn, context: Context, signed: boolean): Buffer {
    const view = txn.message.view
    const shape = this.#replies.get(view.mti) ?? this.#replies.get('other')
    const mti = answerMti(view.mti)
    const writer = this.#writer
    writer.begin(mti)
    if (this.dialect.header) {
      writer.header(this.dialect.header.reply(view.header(), this.#profile.institution))
    }
    const target = { profile: this.#profile, context }
    for (const field of shape?.echo ?? []) if (view.has(field)) writer.copy(view, field)
    if (shape) this.#fill(shape.set, txn, target)
    if (shape && isApproved(txn.answer.reason)) this.#fill(shape.approved, txn, target)
    const code = shape?.codes[txn.answer.reason] ?? this.codeFor(txn.answer.reason)
    writer.setText(this.meaning.response_code_field, code)
    if (signed && this.macRule(view.mti)) this.#setMac()
    return this.#finish(mti)
  }

  /** The MAC rule when a message of this MTI (request or answer) carries one. */
  macRule(requestMti: string): MacRule | null {
    const rule = this.meaning.mac
    return rule && this.#profile.macRequired && rule.requests.includes(requestMti) ? rule : null
  }

  #fill(fill: Fill, txn: Txn, target: ItemTarget): void {
    for (const [field, item] of fill) {
      const value = item(txn, target)
      if (value === null) continue
      const done =
        typeof value === 'string'
          ? this.#writer.setText(field, value)
          : this.#writer.setBytes(field, value)
      if (!done) throw new BuildError(target.profile.institution, field, 'value does not fit')
    }
  }

  #setMac(): void {
    let field = this.meaning.mac?.field ?? 0
    for (let high = 65; field === 64 && high < 128; high++) if (this.#writer.has(high)) field = 128
    this.#writer.setBytes(field, MAC_PLACEHOLDER)
  }

  #finish(mti: string): Buffer {
    const built = this.#writer.finish()
    if (!built) {
      throw new BuildError(mti, this.#writer.fault.field, this.#writer.fault.kind)
    }
    return built.frame
  }
}

/** The response code with which a transaction was answered in its own dialect. */
export function answerCodeOf(txn: Txn): string {
  const { replies, response_codes: codes } = txn.link.settings.meaning
  const shape = replies[txn.message.view.mti] ?? replies['other']
  return shape?.codes[txn.answer.reason] ?? codes[txn.answer.reason] ?? ''
}

function fillOf(table: Readonly<Record<string, string>>): Fill {
  return Object.entries(table).map(([field, name]) => [Number(field), itemNamed(name)] as const)
}
