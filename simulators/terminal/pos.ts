// The POS simulator: a UnionPay terminal (dialect cups-pos) with a chip reader and a PIN pad. Used
// by `switchyard simulate pos`, the demonstration and tests. It signs on for working keys, sells,
// asks balances, reverses when no answer comes, and checks MAC and ARPC of every answer by itself.
// Built from cups-pos.md; it must never import the pipeline.

import { concat, equalConstantTime, fromHex, wipe } from '../../hsm/algorithms/bytes.ts'
import { encryptPin } from '../../hsm/algorithms/pin-translation.ts'
import type { Clock } from '../../switch/runtime/clock.ts'
import type { Random } from '../../switch/runtime/random.ts'
import type { BookFile } from '../book.ts'
import { beijing } from '../calendar.ts'
import { type SyntheticCard, pinOf, track2Of, wrongPinOf } from '../cards.ts'
import { Chip, type ChipRequest, tagValue } from '../chip.ts'
import { KEY_LABEL, type OutsideToken, type WorkingKey, receivedKey } from '../keys.ts'
import { type Fields, type ReadMessage, Wire } from '../messages.ts'
import type { Address } from '../transport.ts'
import { type Exchange, type OperationResult, TerminalLine, balanceOf, noteInBook } from './line.ts'
import type { TerminalState } from './state.ts'

export interface PosOptions {
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

/** One sale or balance inquiry. */
export interface PosRequest {
  readonly card: SyntheticCard
  readonly amountMinor: number
  /** Read the chip; false reads the magnetic stripe. */
  readonly chip: boolean
  readonly withPin: boolean
  readonly wrongPin?: boolean
  /** Sends a MAC whose first character is wrong. */
  readonly badMac?: boolean
  /** Shows the chip another amount than the message: what a thief would replay. */
  readonly chipAmountMinor?: number
  /** Leaves a time-out unreversed, so that a test can repeat or reverse by itself. */
  readonly keepUnanswered?: boolean
}

type Values = Record<number, string | Uint8Array>

interface Sent {
  readonly operation: string
  readonly mti: string
  readonly fields: Values
  readonly bytes: Uint8Array
  readonly chip: ChipRequest | null
  readonly card: SyntheticCard
  readonly amountMinor: number
}

const ANSWER_TIMEOUT_MS = 30_000 // terminal_wait_ms of the configuration's defaults
const REVERSAL_TRIES_MAX = 3 // then a terminal prints and gives up
/** TPDU: to the front-end 0003, from us 0000; application header: financial POS, version 31. */
const ENVELOPE = fromHex('6000030000603100310730')
const SERIAL = 'Sequence No16SWYD0000SIM00001' // DE62 of sign-on: vendor id and serial number
const OPERATOR = '01 '
const REASON = { timeout: '98', badMac: 'A0', other: '06' } as const

export class PosTerminal {
  readonly #options: PosOptions
  readonly #wire = new Wire('cups-pos', '2b+tpdu+app')
  readonly line: TerminalLine
  #pinKey: WorkingKey | null = null
  #macKey: WorkingKey | null = null
  #last: Sent | null = null

  constructor(options: PosOptions) {
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

  // ---- sign-on -------------------------------------------------------------------------------

  /** 0800 for a double-length key set (60.3 = 003); the keys come in DE62. */
  async signOn(): Promise<OperationResult> {
    const { state, terminal, merchant } = this.#options
    const stan = state.nextStan(terminal)
    const fields = {
      11: stan,
      41: terminal,
      42: merchant,
      60: `00${state.batch(terminal)}003`,
      62: Uint8Array.from(Buffer.from(SERIAL, 'ascii')),
      63: OPERATOR,
    }
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

  /** Takes PIK and MAK out of DE62: PIK 16, KCV 4, MAK 8, eight zero bytes, KCV 4. */
  #takeKeys(answer: ReadMessage): string {
    const { token, terminal, state } = this.#options
    const data = answer.bytesOf(62)
    if (data.length !== 40) return `DE62 has ${data.length} bytes instead of 40`
    if (!equalConstantTime(data.slice(28, 36), new Uint8Array(8)))
      return 'right half of the MAK is not zero'
    const master = token.cipher(KEY_LABEL.terminalMaster(terminal))
    const pinKey = receivedKey(master, data.slice(0, 16), data.slice(16, 20))
    const macKey = receivedKey(master, data.slice(20, 28), data.slice(36, 40))
    if (pinKey === null) return 'check value of the PIK is wrong'
    if (macKey === null) return 'check value of the MAK is wrong'
    this.#pinKey = pinKey
    this.#macKey = macKey
    const batch = answer.text(60).slice(2, 8)
    if (/^[0-9]{6}$/.test(batch)) state.setBatch(terminal, batch)
    return ''
  }

  // ---- financials ----------------------------------------------------------------------------

  sale(request: PosRequest): Promise<OperationResult> {
    return this.#financial(
      'sale',
      request,
      { 3: '000000', 4: digits12(request.amountMinor) },
      '22',
      '00',
    )
  }

  balance(request: PosRequest): Promise<OperationResult> {
    return this.#financial('balance', { ...request, amountMinor: 0 }, { 3: '310000' }, '01', '31')
  }

  /** Sends the last request again, byte for byte. */
  async repeat(): Promise<OperationResult> {
    const last = this.#demandLast()
    return this.#conclude(
      last,
      await this.#exchange(last.bytes, answerTo(last.mti), String(last.fields[11])),
      'repeat',
    )
  }

  /** Reverses the last sale (0400): same trace number and batch, reason in DE39. */
  async reversal(reason: keyof typeof REASON = 'other'): Promise<OperationResult> {
    const last = this.#demandLast()
    const fields: Values = { ...last.fields, 39: REASON[reason] }
    for (const field of [26, 35, 36, 37, 52, 53]) delete fields[field]
    if (last.chip !== null) fields[55] = last.chip.reversalData
    const bytes = this.#authenticated('0400', fields, false)
    const stan = String(fields[11])
    let exchange: Exchange = { message: null, ms: 0, missing: 'not_sent' }
    for (let tried = 0; tried < REVERSAL_TRIES_MAX && exchange.message === null; tried++) {
      exchange = await this.#exchange(bytes, '0410', stan)
      if (!this.line.connected) break
    }
    const answer = exchange.message
    const event = answer === null ? 'reversal_unanswered' : 'reversed'
    const code = answer?.text(39) ?? ''
    noteInBook(this.#options.book ?? null, event, last.card, {
      mti: '0400',
      stan,
      code,
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
      note: exchange.missing || `reason ${REASON[reason]}`,
    }
  }

  #demandLast(): Sent {
    if (this.#last === null) throw new Error('there is no request to repeat or reverse yet')
    return this.#last
  }

  async #financial(
    operation: string,
    request: PosRequest,
    kind: Values,
    type: string,
    chipType: string,
  ): Promise<OperationResult> {
    const { state, terminal, merchant, clock } = this.#options
    const { card } = request
    const stan = state.nextStan(terminal)
    const chip = request.chip ? this.#readChip(request, chipType) : null
    const fields: Values = {
      ...kind,
      2: card.pan,
      11: stan,
      14: card.expiry,
      22: `${request.chip ? '05' : '02'}${request.withPin ? '1' : '2'}`,
      25: '00',
      35: track2Of(card, 'D'),
      41: terminal,
      42: merchant,
      49: '156',
      // 60: type, batch, 000, reads contact chips, no fallback.
      60: `${type}${state.batch(terminal)}00050`,
    }
    if (chip !== null) {
      fields[23] = card.sequence.padStart(3, '0')
      fields[55] = chip.data
    }
    if (request.withPin) this.#addPin(fields, request)
    const bytes = this.#authenticated('0200', fields, request.badMac === true)
    const sent: Sent = {
      operation,
      mti: '0200',
      fields,
      bytes,
      chip,
      card,
      amountMinor: request.amountMinor,
    }
    this.#last = sent
    noteInBook(this.#options.book ?? null, 'sent', card, {
      at: new Date(clock.wallMs()).toISOString(),
      mti: '0200',
      stan,
      amount_minor: request.amountMinor,
    })
    const result = this.#conclude(sent, await this.#exchange(bytes, '0210', stan), operation)
    if (request.keepUnanswered === true || operation !== 'sale') return result
    return this.#reverseIfNeeded(result)
  }

  /** A sale that went wrong on the way back is reversed before anything else. */
  async #reverseIfNeeded(result: OperationResult): Promise<OperationResult> {
    const approved = result.code === '00'
    const reason =
      result.code === ''
        ? 'timeout'
        : approved && result.macRight !== true
          ? 'badMac'
          : approved && result.issuerGenuine === false
            ? 'other'
            : null
    if (reason === null || !this.line.connected) return result
    const reversal = await this.reversal(reason)
    const outcome = reversal.code === '' ? 'was not answered' : `was answered ${reversal.code}`
    return {
      ...result,
      note: `${result.note}; reversal ${REASON[reason]} ${outcome}`.replace(/^; /, ''),
    }
  }

  #readChip(request: PosRequest, type: string): ChipRequest {
    const { token, clock, random, state } = this.#options
    const chip = new Chip(token.cipher(KEY_LABEL.issuerCryptogram), request.card)
    return chip.request({
      amountMinor: request.chipAmountMinor ?? request.amountMinor,
      currency: '156',
      date: beijing(clock.wallMs()).longDate,
      type,
      unpredictableNumber: Uint8Array.from(random.bytes(4)),
      atc: state.nextAtc(request.card.name),
    })
  }

  #addPin(fields: Values, request: PosRequest): void {
    if (this.#pinKey === null) throw new Error('the terminal has not signed on: it has no PIN key')
    const pin = request.wrongPin === true ? wrongPinOf(request.card) : pinOf(request.card)
    fields[26] = '12'
    fields[52] = encryptPin(this.#pinKey.pair, 'unionpay_pan', pin, request.card.pan)
    fields[53] = '2600000000000000' // with PAN, double-length 3DES
    wipe(pin)
  }

  /** Turns an exchange into a result, checking MAC and ARPC, and enters it in the book. */
  #conclude(sent: Sent, exchange: Exchange, operation: string): OperationResult {
    const answer = exchange.message
    const genuine = answer === null ? null : tagValue(answer.bytesOf(55), '91')
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
      note: exchange.missing || (answer === null ? '' : differences(sent.fields, answer)),
    }
    const event = answer === null ? 'unanswered' : result.code === '00' ? 'approved' : 'declined'
    noteInBook(
      this.#options.book ?? null,
      operation === 'repeat' ? `repeat_${event}` : event,
      sent.card,
      {
        mti: sent.mti,
        stan: result.stan,
        rrn: result.rrn,
        code: result.code,
        auth: result.authorisation,
        amount_minor: sent.amountMinor,
      },
    )
    return result
  }

  // ---- messages ------------------------------------------------------------------------------

  #authenticated(mti: string, fields: Fields, bad: boolean): Uint8Array {
    const key = this.#macKey
    if (key === null) throw new Error('the terminal has not signed on: it has no MAC key')
    return this.#wire.writeAuthenticated(mti, fields, 64, (message) => {
      const mac = key.posMac(message.bytesBefore(64))
      if (bad) mac[0] = mac[0] === 0x30 ? 0x31 : 0x30
      return mac
    })
  }

  #macRight(answer: ReadMessage): boolean | null {
    if (!answer.has(64)) return null
    if (this.#macKey === null) return false
    return equalConstantTime(this.#macKey.posMac(answer.bytesBefore(64)), answer.bytesOf(64))
  }

  #exchange(bytes: Uint8Array, answerMti: string, stan: string): Promise<Exchange> {
    const { terminal, answerTimeoutMs } = this.#options
    const matches = (message: ReadMessage): boolean =>
      message.mti === answerMti && message.text(11) === stan && message.text(41) === terminal
    return this.line.exchange(ENVELOPE, bytes, matches, answerTimeoutMs ?? ANSWER_TIMEOUT_MS)
  }
}

function digits12(minor: number): string {
  return String(minor).padStart(12, '0')
}

function answerTo(mti: string): string {
  return mti.slice(0, 2) + String(Number(mti[2]) + 1) + mti.slice(3)
}

/** Fields of the answer that a terminal compares and that differ (cups-pos.md 6.5), as a note. */
function differences(sent: Values, answer: ReadMessage): string {
  const wrong = [3, 4, 41, 42].filter((field) => {
    const value = sent[field]
    if (value === undefined || !answer.has(field)) return false
    return String(value).trim() !== answer.word(field)
  })
  return wrong.length === 0 ? '' : `answer differs in DE${wrong.join(', DE')}`
}

/** The record of an operation before anything is known. */
export function blank(operation: string): OperationResult {
  return {
    operation,
    card: '',
    code: '',
    stan: '',
    rrn: '',
    authorisation: '',
    amountMinor: 0,
    balanceMinor: null,
    ms: 0,
    macRight: null,
    issuerGenuine: null,
    note: '',
  }
}

/** What an answer says about how it ended. */
export function ends(answer: ReadMessage | null): Partial<OperationResult> {
  if (answer === null) return {}
  return {
    code: answer.text(39),
    rrn: answer.word(37),
    authorisation: answer.word(38),
    balanceMinor: balanceOf(answer.text(54)),
  }
}

/** A frame of this terminal around any message bytes, for broken input on purpose. */
export function posFrame(message: Uint8Array): Uint8Array {
  const length = ENVELOPE.length + message.length
  return concat(Uint8Array.of(length >> 8, length & 255), ENVELOPE, message)
}
