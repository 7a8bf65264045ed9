/**
 * What the pipeline tells the world: one log line per transaction, metrics, and events of links and
 * stored messages.
 *
 * Made by main.ts; the only place where a transaction becomes a line of text. Everything it writes
 * goes through the log's allow-list (log/log.ts) and the closed label sets of meters.ts.
 */

import { answerCodeOf } from './pipeline/build-message.ts'
import type { Observer } from './pipeline/context.ts'
import type { Txn } from './pipeline/txn.ts'
import type { LinkState } from './link/contract.ts'
import { isApproved } from './reasons.ts'
import type { Log } from './log/log.ts'
import type { Meters } from './meters.ts'

/**
 * Bytes of the card token that stand in a line: enough to find a card's lines, not to look it up.
 */
const CARD_REFERENCE_BYTES = 6

export class Observation implements Observer {
  readonly #log: Log
  readonly #meters: Meters

  constructor(log: Log, meters: Meters) {
    this.#log = log
    this.#meters = meters
  }

  completed(txn: Txn, durationMs: number): void {
    const link = txn.link.settings.name
    const { reason } = txn.answer
    const approved = isApproved(reason)
    const outcome = txn.replayed ? 'replayed' : approved ? 'approved' : 'declined'
    const kind = txn.kind ?? 'unknown'
    this.#meters.transactionCompleted(link, kind, outcome, reason, durationMs / 1000)
    if (reason === 'timeout') this.#meters.timedOut(txn.route)
    if (reason === 'duplicate_conflict') this.#log.duplicateRefused(link, txn.id)
    this.#log.txnCompleted({
      id: txn.id,
      link,
      direction: 'in',
      mti: txn.message.view.mti,
      stan: txn.stan,
      rrn: txn.answer.networkRrn || txn.rrn,
      kind: txn.kind ?? 'unknown',
      pan: txn.pan,
      cardRef: txn.pan && txn.panToken ? cardReference(txn.panToken) : '',
      route: txn.route,
      attempt: 1,
      rc: answerCodeOf(txn),
      reason,
      amountMinor: txn.amountMinor,
      currency: txn.currency,
      durationUs: Math.round(durationMs * 1000),
      stepsUs: txn.stepsUs,
    })
  }

  lateAnswer(link: string, owner: string, responseCode: string): void {
    this.#meters.lateReply(link)
    this.#log.answerLate(link, owner, responseCode)
  }

  unmatchedAnswer(link: string, nearOwner: string, field: number): void {
    this.#meters.unmatchedReply(link)
    this.#log.answerUnmatched(link, nearOwner, field)
  }

  reversalUnseen(link: string, txn: string): void {
    this.#meters.exceptionSeen(link, 'reversal_unseen')
    this.#log.exceptionSeen(link, txn, 'reversal_unseen')
  }

  reversalMismatched(link: string, txn: string): void {
    this.#meters.exceptionSeen(link, 'reversal_mismatched')
    this.#log.exceptionSeen(link, txn, 'reversal_mismatched')
  }

  undelivered(link: string, txn: string): void {
    this.#meters.exceptionSeen(link, 'answer_undelivered')
    this.#log.exceptionSeen(link, txn, 'answer_undelivered')
  }

  unmappedCode(link: string, code: string): void {
    this.#meters.unmappedCode(link)
    this.#log.codeUnmapped(link, code)
  }

  reversalQueued(route: string, txn: string, cause: string): void {
    this.#meters.reversalQueued(route, cause)
    this.#log.reversalQueued(route, txn, cause)
  }

  safAttempted(
    route: string,
    txn: string,
    outcome: 'acknowledged' | 'refused' | 'timed_out' | 'not_sent' | 'parked',
    attempt: number,
    responseCode: string,
  ): void {
    this.#meters.safAttempted(route, outcome)
    this.#log.safChanged(route, txn, outcome, attempt, responseCode)
  }

  keyInForce(name: string, kcvHex: string): void {
    this.#log.keyChanged(name, kcvHex)
  }

  rejected(link: string): void {
    this.#log.messageRejected(link)
  }

  linkChanged(link: string, from: LinkState, to: LinkState, cause: string): void {
    this.#meters.linkChanged(link, to)
    this.#log.linkChanged(link, from, to, cause)
  }

  malformed(link: string, fault: { kind: string; field: number; offset: number }): void {
    this.#meters.decodeFaulted(link, fault.kind)
    this.#log.messageRefused(link, fault)
  }

  failed(where: string, error: unknown): void {
    this.#meters.failed()
    this.#log.faultCaught(where, error)
  }
}

function cardReference(token: Uint8Array): string {
  return Buffer.from(token.subarray(0, CARD_REFERENCE_BYTES)).toString('hex')
}
