// The Visa simulator: the network's side of a BASE I link, with the issuer of its cards behind it.
// Started by `switchyard simulate visa` and by tests. It listens, answers sign-on, echo and
// sign-off, sends a zone PIN key after each sign-on, answers 0100 from its own book and
// reverses once. It is built from the interface facts (visa.md) and must never import the pipeline,
// link or journal.
//
//   switch                                   here
//     | 0800 071 ------------------------------>| signed on
//     |<------------------------------ 0810 00  |
//     |<------- 0800 101, DE96 check, DE105 key |
//     | 0810 00 ------------------------------->| key in force (the one before stays readable)
//     | 0100 ---------------------------------->| decides, enters in the book
//     |<------------------------------ 0110     |

import { concat, fromHex, toHex } from '../../hsm/algorithms/bytes.ts'
import type { Clock, Timer } from '../../switch/runtime/clock.ts'
import type { Random } from '../../switch/runtime/random.ts'
import type { BookLine, IssuerBook } from '../book.ts'
import { greenwich, retrievalReference } from '../calendar.ts'
import type { FaultAction, FaultRules } from '../faults.ts'
import { KEY_LABEL, type OutsideToken, type WorkingKey, freshKey } from '../keys.ts'
import { type ReadMessage, Wire } from '../messages.ts'
import { type Address, type Line, type Listening, listenForLines } from '../transport.ts'
import { deliver } from './delivery.ts'
import {
  type Decision,
  type IssuerRules,
  authorisationCode,
  balanceGroup,
  decide,
} from './issuer.ts'
import type { SimulatorLog } from './log.ts'

export interface VisaOptions {
  readonly listen: Address
  readonly token: OutsideToken
  readonly clock: Clock
  readonly random: Random
  readonly book: IssuerBook
  readonly rules: FaultRules
  readonly log: SimulatorLog
  /** DE39 of a reversal whose original is not known; 44.1 is 8 in any case. */
  readonly unknownOriginalCode?: '00' | '25'
  /** Send a new key this long after the last one, ms; null = only after sign-on. */
  readonly rekeyMs?: number | null
}

const STATION = '000000' // BASE I station id of the network
const NETWORK = fromHex('8000000002') // DE63: bitmap with 63.1, network 0002 Visa
const KEY_ANSWER_MS = 5_000 // then the key is sent again
const KEY_ATTEMPTS_MAX = 5
const KEYS_KEPT = 2 // the key in force and the one before, for requests in flight

const RULES: IssuerRules = { issuer: 'visa', pinFormat: 'iso0', unreadablePinCode: '81' }

/** Fields of a request that its answer repeats (visa.md section 8 and public samples). */
const ECHO_0110 = [2, 3, 4, 7, 11, 19, 25, 32, 37, 41, 42, 49] as const
const ECHO_0430 = [2, 3, 4, 7, 11, 19, 25, 32, 37, 41, 42, 49, 62, 63, 90] as const
const ECHO_0810 = [7, 11, 37, 63, 70] as const

/** DE44.1 values. */
const SOURCE = { issuer: '5', reversalMatched: '7', noOriginal: '8' } as const

export class VisaSimulator {
  readonly #options: VisaOptions
  readonly #wire = new Wire('visa', 'visa')
  readonly #signedOn = new Set<Line>()
  #keys: WorkingKey[] = []
  #offered: { key: WorkingKey; stan: string; attempts: number; timer: Timer } | null = null
  #listening: Listening | null = null
  #stan: number
  #approvals = 0
  #echoedAtMs = 0

  constructor(options: VisaOptions) {
    this.#options = options
    this.#stan = options.random.below(900_000)
    this.#approvals = options.random.below(900_000)
  }

  /** Begins to listen. @returns the port, for tests that asked for any */
  async start(): Promise<number> {
    this.#listening = await listenForLines(this.#options.listen, this.#wire.framing, {
      opened: (line) => this.#options.log('line.opened', { remote: line.remote }),
      message: (line, _envelope, message) => this.#receive(line, message),
      idle: (line) => this.#keepAlive(line),
      closed: (line, cause) => this.#closed(line, cause),
    })
    return this.#listening.port
  }

  async stop(): Promise<void> {
    this.#offered?.timer.cancel()
    this.#offered = null
    await this.#listening?.close()
  }

  /** State for operators and tests; nothing secret. */
  status(): { signedOn: number; keyInForce: boolean; checkValue: string } {
    const key = this.#keys[0]
    const checkValue = key === undefined ? '' : toHex(key.checkValue(3))
    return { signedOn: this.#signedOn.size, keyInForce: key !== undefined, checkValue }
  }

  #closed(line: Line, cause: string): void {
    this.#signedOn.delete(line)
    this.#options.log('line.closed', { remote: line.remote, cause })
  }

  /** Four zero bytes are echoed, at most once a second, so that two echoing ends do not race. */
  #keepAlive(line: Line): void {
    const now = this.#options.clock.monotonicMs()
    if (this.#echoedAtMs !== 0 && now - this.#echoedAtMs < 1_000) return
    this.#echoedAtMs = now
    line.sendRaw(new Uint8Array(4))
  }

  #receive(line: Line, bytes: Uint8Array): void {
    const message = this.#wire.read(bytes)
    if (typeof message === 'string') {
      this.#options.log('message.unreadable', { why: message })
      return
    }
    switch (message.mti) {
      case '0800':
        this.#network(line, message)
        return
      case '0810':
        this.#keyAnswered(line, message)
        return
      case '0100':
      case '0101':
        this.#authorise(line, message)
        return
      case '0400':
      case '0401':
      case '0420':
      case '0421':
        this.#reverse(line, message)
        return
      default:
        this.#options.log('message.unexpected', { mti: message.mti })
    }
  }

  #reply(
    line: Line,
    request: ReadMessage,
    mti: string,
    fields: Record<number, string | Uint8Array>,
  ): void {
    const layout = this.#wire.dialect.header
    const given = request.header()
    const header = layout === null || given.length === 0 ? undefined : layout.reply(given, STATION)
    line.send(new Uint8Array(0), this.#wire.write(mti, fields, header))
  }

  // ---- network management -------------------------------------------------------------------

  #network(line: Line, message: ReadMessage): void {
    const code = message.text(70)
    const known = code === '071' || code === '072' || code === '301'
    if (code === '071') this.#signedOn.add(line)
    if (code === '072') this.#signedOn.delete(line)
    this.#reply(line, message, '0810', { ...message.pick(ECHO_0810), 39: known ? '00' : '12' })
    this.#options.log('network.answered', { code, remote: line.remote })
    if (code === '071') this.offerKey(line)
  }

  /** Sends a fresh key on a signed-on line; false when there is none. */
  renewKeys(): boolean {
    const [line] = this.#signedOn
    if (line === undefined) return false
    this.offerKey(line)
    return true
  }

  /** Sends a fresh zone PIN key; it comes into force when the switch answers 00. */
  offerKey(line: Line): void {
    this.#offered?.timer.cancel()
    this.#sendKey(line, freshKey(this.#options.random), 1)
  }

  #sendKey(line: Line, key: WorkingKey, attempts: number): void {
    const { token, clock, log } = this.#options
    const wrapped = key.wrappedUnder(token.cipher(KEY_LABEL.visaExchange))
    const stan = this.#nextStan()
    const now = clock.wallMs()
    // DE96: the first three bytes of the check value, the rest zeros.
    const check = concat(key.checkValue(3), new Uint8Array(5))
    const fields = {
      7: greenwich(now).transmission,
      11: stan,
      37: retrievalReference(now, stan),
      63: NETWORK,
      70: '101',
      96: check,
      105: wrapped,
    }
    const header = this.#wire.dialect.header?.request(STATION)
    if (!line.send(new Uint8Array(0), this.#wire.write('0800', fields, header))) return
    const timer = clock.after(KEY_ANSWER_MS, () => {
      log('key.unanswered', { attempts })
      if (attempts < KEY_ATTEMPTS_MAX && this.#signedOn.has(line)) {
        this.#sendKey(line, key, attempts + 1)
      }
    })
    this.#offered = { key, stan, attempts, timer }
    log('key.sent', { check: toHex(key.checkValue(3)) })
  }

  #keyAnswered(line: Line, message: ReadMessage): void {
    const offered = this.#offered
    if (offered === null || message.text(11) !== offered.stan) {
      this.#options.log('network.unmatched_answer', { stan: message.text(11) })
      return
    }
    offered.timer.cancel()
    this.#offered = null
    const code = message.text(39)
    if (code === '00') this.#keys = [offered.key, ...this.#keys].slice(0, KEYS_KEPT)
    this.#options.log('key.answered', { code })
    const rekeyMs = this.#options.rekeyMs ?? null
    if (code !== '00' || rekeyMs === null) return
    this.#options.clock.after(rekeyMs, () => {
      if (this.#signedOn.has(line)) this.offerKey(line)
    })
  }

  #nextStan(): string {
    this.#stan = (this.#stan % 999_999) + 1
    return String(this.#stan).padStart(6, '0')
  }

  // ---- authorisation ------------------------------------------------------------------------

  #authorise(line: Line, message: ReadMessage): void {
    const { book, rules, clock, log } = this.#options
    const pan = message.text(2)
    const amountMinor = message.amountMinor() ?? 0
    const facts = factsOf(message)
    if (!this.#signedOn.has(line)) {
      book.note('not_signed_on', pan, facts)
      this.#reply(line, message, '0110', {
        ...message.pick(ECHO_0110),
        39: '91',
        44: SOURCE.issuer,
      })
      return
    }
    const action = rules.decide({ mti: message.mti, amountMinor: message.amountMinor(), pan })
    if (action.kind === 'deaf') return
    const debit = !message.text(3).startsWith('3')
    const decision = decide(
      RULES,
      book,
      this.#keys,
      {
        pan,
        amountMinor,
        debit,
        pinBlock: message.has(52) ? message.bytesOf(52) : null,
      },
      clock.wallMs(),
    )
    const verdict = this.#enter(message, decision, action, debit)
    log('request.decided', {
      mti: message.mti,
      stan: facts.stan ?? '',
      code: verdict.code,
      fault: action.kind,
    })
    const fields = answerFields(message, verdict, debit ? null : decision.balanceMinor)
    deliver(action, clock, {
      send: () => this.#reply(line, message, '0110', fields),
      drop: () => line.close('rule'),
    })
  }

  /** The verdict on a request: the earlier one when it was seen before, else a new one, entered. */
  #enter(
    message: ReadMessage,
    decision: Decision,
    action: FaultAction,
    debit: boolean,
  ): { code: string; auth: string; reference: string } {
    const { book, random } = this.#options
    const facts = factsOf(message)
    const key = facts.key ?? ''
    const earlier = book.earlierVerdict(key)
    if (earlier !== null) {
      book.note('request_repeated', message.text(2), { ...facts, code: earlier.code })
      return earlier
    }
    let code = action.kind === 'decline' ? action.code : decision.code
    if (book.wasReversedUnseen(key)) code = '79' // reversed before it arrived
    const approved = code === '00'
    const verdict = {
      code,
      auth: approved ? authorisationCode(++this.#approvals) : '',
      // 62.2: fifteen digits.
      reference:
        String(random.below(1e9)).padStart(9, '1') + String(random.below(1e6)).padStart(6, '0'),
    }
    book.enter(
      {
        key,
        mti: message.mti,
        stan: message.text(11),
        rrn: message.text(37),
        pan: message.text(2),
        amountMinor: message.amountMinor() ?? 0,
        currency: message.text(49).slice(-3),
        debit,
      },
      verdict,
    )
    return verdict
  }

  // ---- reversal -----------------------------------------------------------------------------

  #reverse(line: Line, message: ReadMessage): void {
    const { book, rules, clock, log } = this.#options
    const pan = message.text(2)
    const action = rules.decide({ mti: message.mti, amountMinor: message.amountMinor(), pan })
    if (action.kind === 'deaf') return
    const facts = factsOf(message)
    const key = this.#originalKey(message)
    // DE95: what stays of the amount after a partial reversal.
    const kept = message.has(95) ? Number(message.text(95).slice(0, 12)) : 0
    const outcome = book.reverse(key, pan, { ...facts, reference: '' }, kept)
    let code: string = outcome === 'unknown' ? (this.#options.unknownOriginalCode ?? '00') : '00'
    if (action.kind === 'decline') code = action.code
    log('reversal.decided', {
      mti: message.mti,
      stan: facts.stan ?? '',
      code,
      outcome,
      fault: action.kind,
    })
    const source = outcome === 'unknown' ? SOURCE.noOriginal : SOURCE.reversalMatched
    const fields = { ...message.pick(ECHO_0430), 39: code, 44: source }
    deliver(action, clock, {
      send: () =>
        this.#reply(line, message, message.mti.startsWith('040') ? '0410' : '0430', fields),
      drop: () => line.close('rule'),
    })
  }

  /** Key of the original: by 62.2 when the reversal has it, else by DE90. */
  #originalKey(message: ReadMessage): string {
    const reference = transactionId(message.bytesOf(62))
    const byReference = reference === '' ? null : this.#options.book.keyOfReference(reference)
    if (byReference !== null) return byReference
    const original = message.text(90)
    const stan = original.slice(4, 10)
    const transmission = original.slice(10, 20)
    return keyOf(transmission, stan, original.slice(20, 31))
  }
}

/** Identity of a request here: DE7, DE11, DE32 without leading zeros. */
function keyOf(transmission: string, stan: string, acquirer: string): string {
  return `${transmission}-${stan}-${acquirer.replace(/^0+/, '')}`
}

function factsOf(message: ReadMessage): Partial<BookLine> {
  return {
    key: keyOf(message.text(7), message.text(11), message.text(32)),
    mti: message.mti,
    stan: message.text(11),
    rrn: message.text(37),
    amount_minor: message.amountMinor() ?? 0,
    currency: message.text(49).slice(-3),
  }
}

function answerFields(
  message: ReadMessage,
  verdict: { code: string; auth: string; reference: string },
  balanceMinor: bigint | null,
): Record<number, string | Uint8Array> {
  const approved = verdict.code === '00'
  const fields: Record<number, string | Uint8Array> = {
    ...message.pick(ECHO_0110),
    39: verdict.code,
    44: SOURCE.issuer,
    62: paymentService(approved ? 'A' : 'N', verdict.reference),
    63: NETWORK,
  }
  if (approved) fields[38] = verdict.auth
  if (approved && balanceMinor !== null) {
    const currency = message.has(49) ? message.text(49) : '156'
    fields[54] =
      balanceGroup('02', currency, balanceMinor) + balanceGroup('01', currency, balanceMinor)
  }
  return fields
}

/** DE62: bitmap of 62.1 and 62.2, the indicator in EBCDIC, 15 digits with a leading zero nibble. */
function paymentService(indicator: 'A' | 'N', reference: string): Uint8Array {
  const ebcdic = indicator === 'A' ? 0xc1 : 0xd5
  return concat(fromHex('C000000000000000'), Uint8Array.of(ebcdic), fromHex(`0${reference}`))
}

/** 62.2 of a DE62 in bitmap form; '' when it is not there. */
function transactionId(field: Uint8Array): string {
  if (field.length < 8 || (field[0]! & 0x40) === 0) return ''
  const at = 8 + ((field[0]! & 0x80) === 0 ? 0 : 1)
  return field.length < at + 8 ? '' : toHex(field.slice(at, at + 8)).slice(1)
}
