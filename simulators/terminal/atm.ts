// The ATM simulator: our private profile over ISO 8583:1987 in ASCII (docs/operating/simulators.md
// describes it). Used by `switchyard simulate atm`, the demonstration and tests. It signs on for
// TPK and TAK, withdraws, asks balances, reverses, and checks MAC and ARPC of answers by itself. It
// must never import the pipeline.

import { equalConstantTime, fromHex, toHex, wipe } from '../../hsm/algorithms/bytes.ts'
import { encryptPin } from '../../hsm/algorithms/pin-translation.ts'
import type { Clock } from '../../switch/runtime/clock.ts'
import type { Random } from '../../switch/runtime/random.ts'
import type { BookFile } from '../book.ts'
import { beijing, greenwich } from '../calendar.ts'
import { type SyntheticCard, pinOf, track2Of, wrongPinOf } from '../cards.ts'
import { Chip, type ChipRequest, tagValue } from '../chip.ts'
import { KEY_LABEL, type OutsideToken, type WorkingKey, receivedKey } from '../keys.ts'
import { type ReadMessage, Wire } from '../messages.ts'
import type { Address } from '../transport.ts'
import { type Exchange, type OperationResult, TerminalLine, noteInBook } from './line.ts'
import { blank, ends } from './pos.ts'
import type { TerminalState } from './state.ts'

export interface AtmOptions {
  readonly address: Address
  /** DE41, 8 characters. */
  readonly terminal: string
  /** DE42, 15 characters. */
  readonly merchant: string
  readonly token: OutsideToken
  readonly clock: Clock
  readonly random: Random
  readonly state: TerminalState
  readonly book?: BookFile | null
  readonly answerTimeoutMs?: number
}

/** One withdrawal or balance inquiry; an ATM always asks for the PIN. */
export interface AtmRequest {
  readonly card: SyntheticCard
  readonly amountMinor: number
  readonly chip: boolean
  readonly wrongPin?: boolean
  readonly badMac?: boolean
  /** Leaves a time-out unreversed. */
  readonly keepUnanswered?: boolean
}

type Values = Record<number, string | Uint8Array>

interface Sent {
  readonly fields: Values
  readonly bytes: Uint8Array
  readonly chip: ChipRequest | null
  readonly card: SyntheticCard
  readonly amountMinor: number
}

const ANSWER_TIMEOUT_MS = 30_000 // terminal_wait_ms of the configuration's defaults
const PLACE = 'SWITCHYARD ATM           SHANGHAI     CN'
const NO_ENVELOPE = new Uint8Array(0)
/** TPK 16, KCV 4, TAK 16, KCV 4. */
const KEY_DATA_BYTES = 40

export class AtmTerminal {
  readonly #options: AtmOptions
  readonly #wire = new Wire('iso87-ascii', '2b')
  readonly line: TerminalLine
  #pinKey: WorkingKey | null = null
  #macKey: WorkingKey | null = null
  #last: Sent | null = null

  constructor(options: AtmOptions) {
    this.#options = options
    this.line = new TerminalLine(this.#wire, options.clock)
  }

  /** Dials the switch. Rejects when it cannot be reached. */
  connect(): Promise<void> {
    return this.line.connect(this.#options.address)
  }

  close(): void {
    this.line.close()
  }

  /** 0800 with DE70 = 001; the keys come in DE62 as hex. */
  async signOn(): Promise<OperationResult> {
    const { state, terminal, clock } = this.#options
    const stan = state.nextStan(terminal)
    const fields = { 7: greenwich(clock.wallMs()).transmission, 11: stan, 41: terminal, 70: '001' }
    const exchange = await this.#exchange(this.#wire.write('0800', fields), '0810', stan)
    const answer = exchange.message
    let note = exchange.missing
    if (answer !== null && answer.text(39) === '00') note = this.#takeKeys(answer)
    noteInBook(this.#options.book ?? null, 'signed_on', null, {
      stan,
      code: answer?.text(39) ?? '',
    })
    return { ...blank('sign-on'), ...ends(answer), stan, ms: exchange.ms, note }
  }

  #takeKeys(answer: ReadMessage): string {
    const { token, terminal } = this.#options
    const text = answer.word(62)
    if (!/^[0-9A-F]*$/.test(text) || text.length !== KEY_DATA_BYTES * 2) {
      return `DE62 is not ${KEY_DATA_BYTES} bytes in upper-case hex`
    }
    const data = fromHex(text)
    const master = token.cipher(KEY_LABEL.terminalMaster(terminal))
    const pinKey = receivedKey(master, data.slice(0, 16), data.slice(16, 20))
    const macKey = receivedKey(master, data.slice(20, 36), data.slice(36, 40))
    if (pinKey === null) return 'check value of the TPK is wrong'
    if (macKey === null) return 'check value of the TAK is wrong'
    this.#pinKey = pinKey
    this.#macKey = macKey
    return ''
  }

  withdrawal(request: AtmRequest): Promise<OperationResult> {
    return this.#financial('withdrawal', request, '010000', '01')
  }

  balance(request: AtmRequest): Promise<OperationResult> {
    return this.#financial('balance', { ...request, amountMinor: 0 }, '300000', '31')
  }

  /** Sends the last request again, byte for byte. */
  async repeat(): Promise<OperationResult> {
    const last = this.#demandLast()
    return this.#conclude(
      last,
      await this.#exchange(last.bytes, '0210', String(last.fields[11])),
      'repeat',
    )
  }

  /** Reverses the last request: 0420 with its STAN and local time, DE39 = reason, no DE90. */
  async reversal(reason: string): Promise<OperationResult> {
    const last = this.#demandLast()
    const fields: Values = { 7: greenwich(this.#options.clock.wallMs()).transmission, 39: reason }
    for (const field of [2, 3, 4, 11, 12, 13, 41, 42, 49]) {
      const value = last.fields[field]
      if (value !== undefined) fields[field] = value
    }
    const stan = String(fields[11])
    const exchange = await this.#exchange(this.#authenticated('0420', fields, false), '0430', stan)
    const answer = exchange.message
    const event = answer === null ? 'reversal_unanswered' : 'reversed'
    noteInBook(this.#options.book ?? null, event, last.card, {
      mti: '0420',
      stan,
      code: answer?.text(39) ?? '',
      amount_minor: last.amountMinor,
    })
    return {
      ...blank('reversal'),
      ...ends(answer),
      card: last.card.name,
      amountMinor: last.amountMinor,
      stan,
      ms: exchange.ms,
      macRight: answer === null ? null : this.#macRight(answer),
      note: exchange.missing || `reason ${reason}`,
    }
  }

  #demandLast(): Sent {
    if (this.#last === null) throw new Error('there is no request to repeat or reverse yet')
    return this.#last
  }

  async #financial(
    operation: string,
    request: AtmRequest,
    processing: string,
    chipType: string,
  ): Promise<OperationResult> {
    const { state, terminal, merchant, clock } = this.#options
    const { card } = request
    const now = clock.wallMs()
    const local = beijing(now)
    const stan = state.nextStan(terminal)
    const chip = request.chip ? this.#readChip(request, chipType) : null
    const fields: Values = {
      2: card.pan,
      3: processing,
      4: String(request.amountMinor).padStart(12, '0'),
      7: greenwich(now).transmission,
      11: stan,
      12: local.time,
      13: local.date,
      14: card.expiry,
      18: '6011',
      22: chip === null ? '021' : '051',
      25: '02',
      35: track2Of(card, '='),
      41: terminal,
      42: merchant,
      43: PLACE,
      49: '156',
      52: this.#pinBlock(request),
    }
    if (chip !== null) {
      fields[23] = card.sequence.padStart(3, '0')
      fields[55] = toHex(chip.data) // the dialect has chip data in hex characters
    }
    const bytes = this.#authenticated('0200', fields, request.badMac === true)
    const sent: Sent = { fields, bytes, chip, card, amountMinor: request.amountMinor }
    this.#last = sent
    noteInBook(this.#options.book ?? null, 'sent', card, {
      mti: '0200',
      stan,
      amount_minor: request.amountMinor,
    })
    const result = this.#conclude(sent, await this.#exchange(bytes, '0210', stan), operation)
    const unsure = result.code === '' || (result.code === '00' && result.macRight !== true)
    if (request.keepUnanswered === true || operation !== 'withdrawal' || !unsure) return result
    if (!this.line.connected) return result
    // No money was given out: the withdrawal is taken back.
    const reversal = await this.reversal(result.code === '' ? '68' : 'A0')
    return {
      ...result,
      note: `${result.note}; reversal was answered ${reversal.code || 'not at all'}`,
    }
  }

  #readChip(request: AtmRequest, type: string): ChipRequest {
    const { token, clock, random, state } = this.#options
    const chip = new Chip(token.cipher(KEY_LABEL.issuerCryptogram), request.card)
    return chip.request({
      amountMinor: request.amountMinor,
      currency: '156',
      date: beijing(clock.wallMs()).longDate,
      type,
      unpredictableNumber: Uint8Array.from(random.bytes(4)),
      atc: state.nextAtc(request.card.name),
    })
  }

  #pinBlock(request: AtmRequest): Uint8Array {
    if (this.#pinKey === null) throw new Error('the terminal has not signed on: it has no PIN key')
    const pin = request.wrongPin === true ? wrongPinOf(request.card) : pinOf(request.card)
    const block = encryptPin(this.#pinKey.pair, 'iso0', pin, request.card.pan)
    wipe(pin)
    return block
  }

  #conclude(sent: Sent, exchange: Exchange, operation: string): OperationResult {
    const answer = exchange.message
    const genuine = answer === null ? null : tagValue(chipDataOf(answer), '91')
    const result: OperationResult = {
      ...blank(operation),
      ...ends(answer),
      card: sent.card.name,
      amountMinor: sent.amountMinor,
      stan: String(sent.fields[11]),
      ms: exchange.ms,
      macRight: answer === null ? null : this.#macRight(answer),
      issuerGenuine:
        genuine === null || sent.chip === null ? null : sent.chip.issuerIsGenuine(genuine),
      note: exchange.missing,
    }
    const event = answer === null ? 'unanswered' : result.code === '00' ? 'approved' : 'declined'
    noteInBook(
      this.#options.book ?? null,
      operation === 'repeat' ? `repeat_${event}` : event,
      sent.card,
      {
        mti: '0200',
        stan: result.stan,
        rrn: result.rrn,
        code: result.code,
        auth: result.authorisation,
        amount_minor: sent.amountMinor,
      },
    )
    return result
  }

  #authenticated(mti: string, fields: Values, bad: boolean): Uint8Array {
    const key = this.#macKey
    if (key === null) throw new Error('the terminal has not signed on: it has no MAC key')
    return this.#wire.writeAuthenticated(mti, fields, 64, (message) => {
      const mac = key.retailMac(message.bytesBefore(64))
      if (bad) mac[0] = mac[0]! ^ 0xff
      return mac
    })
  }

  #macRight(answer: ReadMessage): boolean | null {
    if (!answer.has(64)) return null
    if (this.#macKey === null) return false
    return equalConstantTime(this.#macKey.retailMac(answer.bytesBefore(64)), answer.bytesOf(64))
  }

  #exchange(bytes: Uint8Array, answerMti: string, stan: string): Promise<Exchange> {
    const { terminal, answerTimeoutMs } = this.#options
    const matches = (message: ReadMessage): boolean =>
      message.mti === answerMti && message.text(11) === stan && message.text(41) === terminal
    return this.line.exchange(NO_ENVELOPE, bytes, matches, answerTimeoutMs ?? ANSWER_TIMEOUT_MS)
  }
}

/** DE55 is hex characters here; raw TLV is read too (no TLV begins with a hex digit). */
function chipDataOf(answer: ReadMessage): Uint8Array {
  const bytes = answer.bytesOf(55)
  const text = Buffer.from(bytes).toString('latin1')
  return /^([0-9A-Fa-f]{2})+$/.test(text) ? fromHex(text) : bytes
}
