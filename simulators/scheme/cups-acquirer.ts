// Other banks' terminals behind CUPS: purchases and their reversals with the bank's own cards, sent
// to the switch on the CUPS simulator's own line. Called through the simulator's control socket and
// by tests. Checks MAC and ARPC of what comes back; must never import the pipeline.

import { wipe } from '../../hsm/algorithms/bytes.ts'
import { encryptPin } from '../../hsm/algorithms/pin-translation.ts'
import { wait, type Clock } from '../../switch/runtime/clock.ts'
import type { Random } from '../../switch/runtime/random.ts'
import type { IssuerBook } from '../book.ts'
import { beijing, retrievalReference, settlementDate } from '../calendar.ts'
import { type SyntheticCard, cardNamed, pinOf, track2Of, wrongPinOf } from '../cards.ts'
import { Chip, type ChipRequest, tagValue } from '../chip.ts'
import { KEY_LABEL, type OutsideToken } from '../keys.ts'
import type { ReadMessage } from '../messages.ts'
import type { AnswerSink, CupsSimulator } from './cups.ts'

/** A transaction to begin; the card is named, never its number. */
export interface OriginateRequest {
  readonly card: string
  readonly kind: 'purchase' | 'cash' | 'balance'
  readonly amountMinor: number
  readonly chip: boolean
  readonly withPin: boolean
  readonly wrongPin: boolean
  readonly badMac: boolean
  /** The card's next 9F36; the caller keeps the count. */
  readonly atc: number
}

/** What came back. `code` is '' when nothing did. */
export interface OriginateResult {
  readonly code: string
  readonly rrn: string
  readonly stan: string
  readonly ms: number
  /** Whether DE128 of the answer was right; null when nothing came back. */
  readonly macRight: boolean | null
  /** Whether tag 91 satisfied the card; null without chip or without tag 91. */
  readonly issuerGenuine: boolean | null
  readonly authorisation: string
}

export interface AcquirerOptions {
  readonly simulator: CupsSimulator
  readonly token: OutsideToken
  readonly clock: Clock
  readonly random: Random
  readonly book: IssuerBook
  readonly memberId?: string
  readonly answerTimeoutMs?: number
}

type Values = Record<number, string | Uint8Array>

interface Original {
  readonly fields: Values
  readonly chip: ChipRequest | null
  readonly card: SyntheticCard
  reversal: Values | null
}

const ANSWER_TIMEOUT_MS = 30_000 // CUPS waits 30 to 45 s for an issuer
const ORIGINALS_MAX = 1_000 // reversals are asked for soon after their originals
const ACQUIRER = '01031000' // another bank
const TERMINAL = '87654321'
const MERCHANT = '103110054110001' // acquirer 103, area 1100, MCC 5411, serial 0001
const PLACE = 'CHN11000OTHER BANK SHOP'.padEnd(40)
/** DE60 of 27: reason, reader 5 (chip), terminal 03 (POS), initiation 1, medium 2 (IC). */
const CIRCUMSTANCES = '000005000300000000000012100'
const REVERSAL_REASON = '4351' // terminal-originated full reversal
const CENTRE_DATA = `511${'S0000000250'.padEnd(40, '0')}`
const PROCESSING = { purchase: '000000', cash: '010000', balance: '300000' } as const
const CHIP_TYPE = { purchase: '00', cash: '01', balance: '31' } as const

export class CupsAcquirer implements AnswerSink {
  readonly #options: AcquirerOptions
  readonly #memberId: string
  readonly #waiting = new Map<string, (message: ReadMessage) => void>()
  readonly #originals = new Map<string, Original>()

  constructor(options: AcquirerOptions) {
    this.#options = options
    this.#memberId = options.memberId ?? '10010001'
    options.simulator.attach(this)
  }

  answered(message: ReadMessage): boolean {
    const take = this.#waiting.get(answerKey(message))
    if (take === undefined) return false
    take(message)
    return true
  }

  /** Sends 0200 and waits for 0210. @throws Error when the own line or its keys are not ready */
  async originate(request: OriginateRequest): Promise<OriginateResult> {
    const { clock, simulator, token } = this.#options
    const card = cardNamed(request.card)
    const now = clock.wallMs()
    const stan = simulator.nextStan()
    const chip = request.chip
      ? new Chip(token.cipher(KEY_LABEL.issuerCryptogram), card).request({
          amountMinor: request.kind === 'balance' ? 0 : request.amountMinor,
          currency: '156',
          date: beijing(now).longDate,
          type: CHIP_TYPE[request.kind],
          unpredictableNumber: this.#options.random.bytes(4),
          atc: request.atc,
        })
      : null
    const fields = this.#requestFields(request, card, chip, stan, now)
    const rrn = String(fields[37])
    this.#remember(rrn, { fields, chip, card, reversal: null })
    const { message, ms } = await this.#exchange('0200', fields, card, request.badMac)
    return this.#result(message, ms, rrn, stan, chip)
  }

  /**
   * Sends 0420 for an original `times` times, one after the other: the same message with the same
   * keys, as a repeat must be. @returns one result per sending
   */
  async reverse(rrn: string, times: number): Promise<OriginateResult[]> {
    const original = this.#originals.get(rrn)
    if (original === undefined) throw new Error(`no transaction ${rrn} was begun here`)
    original.reversal ??= this.#reversalFields(original)
    const fields = original.reversal
    const results: OriginateResult[] = []
    for (let sent = 0; sent < times; sent++) {
      const { message, ms } = await this.#exchange('0420', fields, original.card, false)
      results.push(this.#result(message, ms, rrn, String(fields[11]), null))
      if (sent + 1 < times) await wait(this.#options.clock, 50) // apart in the trace
    }
    return results
  }

  #remember(rrn: string, original: Original): void {
    this.#originals.set(rrn, original)
    const [oldest] = this.#originals.keys()
    if (this.#originals.size > ORIGINALS_MAX && oldest !== undefined) this.#originals.delete(oldest)
  }

  #requestFields(
    request: OriginateRequest,
    card: SyntheticCard,
    chip: ChipRequest | null,
    stan: string,
    now: number,
  ): Values {
    const local = beijing(now)
    const fields: Values = {
      2: card.pan,
      3: PROCESSING[request.kind],
      7: local.transmission,
      11: stan,
      12: local.time,
      13: local.date,
      14: card.expiry,
      15: settlementDate(now),
      18: '5411',
      22: `${chip === null ? '02' : '05'}${request.withPin ? '1' : '2'}`,
      25: '00',
      32: ACQUIRER,
      33: ACQUIRER,
      35: track2Of(card, '='),
      37: retrievalReference(now, stan),
      41: TERMINAL,
      42: MERCHANT,
      43: PLACE,
      49: '156',
      60: CIRCUMSTANCES,
      100: this.#memberId,
      121: CENTRE_DATA,
    }
    if (request.kind !== 'balance') fields[4] = String(request.amountMinor).padStart(12, '0')
    if (chip !== null) {
      fields[23] = card.sequence.padStart(3, '0')
      fields[55] = chip.data
    }
    if (request.withPin) this.#addPin(fields, card, request.wrongPin)
    return fields
  }

  #addPin(fields: Values, card: SyntheticCard, wrong: boolean): void {
    const [key] = this.#options.simulator.keys.pinKeys()
    if (key === undefined) throw new Error('no PIN key has been exchanged with the switch yet')
    const pin = wrong ? wrongPinOf(card) : pinOf(card)
    fields[26] = '12'
    fields[52] = encryptPin(key.pair, 'unionpay_pan', pin, card.pan)
    fields[53] = '2600000000000000' // with PAN, double-length 3DES
    wipe(pin)
  }

  #reversalFields(original: Original): Values {
    const { clock, simulator } = this.#options
    const { fields, chip } = original
    const reversal: Values = {}
    for (const field of [2, 3, 4, 12, 13, 18, 22, 23, 25, 32, 33, 37, 41, 42, 43, 49, 100, 121]) {
      const value = fields[field]
      if (value !== undefined) reversal[field] = value
    }
    const now = clock.wallMs()
    const id = (value: string | Uint8Array | undefined): string => String(value).padStart(11, '0')
    reversal[7] = beijing(now).transmission
    reversal[11] = simulator.nextStan()
    reversal[15] = settlementDate(now)
    reversal[60] = REVERSAL_REASON + String(fields[60]).slice(4)
    reversal[90] = `0200${String(fields[11])}${String(fields[7])}${id(fields[32])}${id(fields[33])}`
    if (chip !== null) reversal[55] = chip.reversalData
    return reversal
  }

  /** Sends and waits; the message is null when no answer came in time. */
  #exchange(
    mti: string,
    fields: Values,
    card: SyntheticCard,
    badMac: boolean,
  ): Promise<{ message: ReadMessage | null; ms: number }> {
    const { clock, simulator, book } = this.#options
    if (simulator.keys.macKey() === null)
      throw new Error('no MAC key has been exchanged with the switch yet')
    const answerMti = mti.slice(0, 2) + (mti === '0420' ? '30' : '10')
    const key = `${answerMti}-${String(fields[7])}-${String(fields[11])}-${String(fields[33])}`
    const began = clock.monotonicMs()
    const facts = {
      mti,
      key,
      stan: String(fields[11]),
      rrn: String(fields[37]),
      amount_minor: Number(fields[4] ?? 0),
      currency: '156',
    }
    return new Promise((resolve, reject) => {
      const settle = (message: ReadMessage | null): void => {
        timer.cancel()
        this.#waiting.delete(key)
        const code = message?.text(39) ?? ''
        const event = message === null ? 'originated_unanswered' : 'originated_answered'
        book.note(event, card.pan, { ...facts, code, auth: message?.text(38) ?? '' })
        resolve({ message, ms: Math.round(clock.monotonicMs() - began) })
      }
      const timer = clock.after(this.#options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS, () =>
        settle(null),
      )
      this.#waiting.set(key, settle)
      if (simulator.sendOwn(mti, fields, badMac)) {
        book.note('originated', card.pan, facts)
        return
      }
      timer.cancel()
      this.#waiting.delete(key)
      reject(new Error('the line into the switch is not signed on'))
    })
  }

  #result(
    message: ReadMessage | null,
    ms: number,
    rrn: string,
    stan: string,
    chip: ChipRequest | null,
  ): OriginateResult {
    const genuine = message === null || chip === null ? null : tagValue(message.bytesOf(55), '91')
    return {
      code: message?.text(39) ?? '',
      rrn,
      stan,
      ms,
      macRight: message === null ? null : this.#options.simulator.keys.verify(message) === 'right',
      issuerGenuine: genuine === null || chip === null ? null : chip.issuerIsGenuine(genuine),
      authorisation: message?.text(38) ?? '',
    }
  }
}

/** Key under which an answer is matched with its request: DE7, DE11 and DE33. */
function answerKey(message: ReadMessage): string {
  return `${message.mti}-${message.text(7)}-${message.text(11)}-${message.text(33)}`
}
