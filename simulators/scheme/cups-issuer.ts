// The issuers behind the CUPS simulator: decides requests and reversals for other banks' cards and
// names the fields of the answers. Used by cups.ts, which owns lines, headers and MACs on the wire.
// Built from cups-host.md sections 12 and 13; it must never import the pipeline.

import type { Clock } from '../../switch/runtime/clock.ts'
import type { Random } from '../../switch/runtime/random.ts'
import type { BookLine, IssuerBook } from '../book.ts'
import { settlementDate } from '../calendar.ts'
import { type FaultAction, type FaultRules, PLAIN_ANSWER } from '../faults.ts'
import type { ReadMessage } from '../messages.ts'
import type { CupsKeys } from './cups-security.ts'
import { type IssuerRules, authorisationCode, balanceGroup, decide } from './issuer.ts'
import type { SimulatorLog } from './log.ts'

/** Fields of a message to be written. */
export type Values = Record<number, string | Uint8Array>

/** An answer without its MAC, and what a fault rule does to it. */
export interface CupsAnswer {
  readonly mti: string
  readonly fields: Values
  readonly action: FaultAction
}

export interface CupsIssuerOptions {
  readonly clock: Clock
  readonly random: Random
  readonly book: IssuerBook
  readonly rules: FaultRules
  readonly log: SimulatorLog
}

const RULES: IssuerRules = { issuer: 'cups', pinFormat: 'unionpay_pan', unreadablePinCode: '99' }

/** Fields of a request that its answer repeats (cups-host.md section 12). */
const ECHO_ANSWER = [2, 3, 4, 7, 11, 12, 13, 18, 23, 25, 32, 33, 37, 41, 42, 49, 60] as const
const RECEIVER = '62010000' // DE100: the issuers we play
/** DE121 of 43 characters: reason, conversion, card nature, then the centre's own 40. */
const CENTRE_DATA = `511${'S0000000250'.padEnd(40, '0')}`

export class CupsIssuer {
  readonly #options: CupsIssuerOptions
  readonly #keys: CupsKeys
  #approvals: number

  constructor(options: CupsIssuerOptions, keys: CupsKeys) {
    this.#options = options
    this.#keys = keys
    this.#approvals = options.random.below(900_000)
  }

  /** Answers 0100, 0200 or 0220. The request is entered in the book once. */
  authorise(message: ReadMessage, signedOn: boolean): CupsAnswer {
    const { book, rules, log } = this.#options
    const mti = message.mti.slice(0, 2) + (message.mti === '0220' ? '30' : '10')
    const pan = message.text(2)
    const facts = factsOf(message)
    const refuse = (code: string, event: string): CupsAnswer => {
      book.note(event, pan, { ...facts, code })
      log(event, { mti: message.mti, stan: message.text(11), code })
      return { mti, fields: this.#fields(message, { code }), action: PLAIN_ANSWER }
    }
    if (!signedOn) return refuse('77', 'not_signed_on')
    const mac = this.#keys.verify(message)
    if (mac !== 'right') return refuse('A0', `mac_${mac}`)
    const action = rules.decide({ mti: message.mti, amountMinor: message.amountMinor(), pan })
    if (action.kind === 'deaf') return { mti, fields: {}, action }
    const fields = this.#decide(message, facts, action)
    const code = String(fields[39])
    log('request.decided', { mti: message.mti, stan: message.text(11), code, fault: action.kind })
    return { mti, fields, action }
  }

  /** Answers 0420. Reversing what is not there, or was reversed before, succeeds (section 13). */
  reverse(message: ReadMessage): CupsAnswer {
    const { book, rules, log } = this.#options
    const pan = message.text(2)
    const facts = factsOf(message)
    const answer = (code: string, action: FaultAction): CupsAnswer => ({
      mti: '0430',
      fields: this.#common(message, code),
      action,
    })
    const mac = this.#keys.verify(message)
    if (mac !== 'right') {
      book.note(`mac_${mac}`, pan, facts)
      return answer('A0', PLAIN_ANSWER)
    }
    const action = rules.decide({ mti: message.mti, amountMinor: message.amountMinor(), pan })
    if (action.kind === 'deaf') return answer('00', action)
    const outcome = book.reverse(originalKey(message), pan, facts)
    const code = action.kind === 'decline' ? action.code : '00'
    const stan = message.text(11)
    log('reversal.decided', { mti: message.mti, stan, outcome, code, fault: action.kind })
    return answer(code, action)
  }

  /** Decides and enters a request, or repeats what was decided; the answer's fields. */
  #decide(message: ReadMessage, facts: Partial<BookLine>, action: FaultAction): Values {
    const { book, clock } = this.#options
    const key = facts.key ?? ''
    const debit = !['30', '31', '33'].includes(message.text(3).slice(0, 2))
    const amountMinor = message.amountMinor() ?? 0
    const decision = decide(
      RULES,
      book,
      this.#keys.pinKeys(),
      {
        pan: message.text(2),
        amountMinor,
        debit,
        pinBlock: message.has(52) ? message.bytesOf(52) : null,
      },
      clock.wallMs(),
    )
    const balanceMinor = debit ? null : decision.balanceMinor
    const earlier = book.earlierVerdict(key)
    if (earlier !== null) {
      book.note('request_repeated', message.text(2), { ...facts, code: earlier.code })
      return this.#fields(message, earlier, balanceMinor)
    }
    let code = action.kind === 'decline' ? action.code : decision.code
    if (book.wasReversedUnseen(key)) code = '22' // reversed before it arrived
    const auth = code === '00' ? authorisationCode(++this.#approvals) : ''
    const verdict = { code, auth, reference: '' }
    book.enter(
      {
        key,
        mti: message.mti,
        stan: message.text(11),
        rrn: message.text(37),
        pan: message.text(2),
        amountMinor,
        currency: message.text(49),
        debit,
      },
      verdict,
    )
    return this.#fields(message, verdict, balanceMinor)
  }

  /** Fields of every answer. */
  #common(message: ReadMessage, code: string): Values {
    return {
      ...message.pick(ECHO_ANSWER),
      15: settlementDate(this.#options.clock.wallMs()),
      39: code,
      100: RECEIVER,
      121: CENTRE_DATA,
    }
  }

  #fields(
    message: ReadMessage,
    verdict: { code: string; auth?: string },
    balanceMinor: bigint | null = null,
  ): Values {
    const fields = this.#common(message, verdict.code)
    fields[14] = '0000' // issuers may withhold the expiry date
    if (verdict.code !== '00') return fields
    if (verdict.auth !== undefined) fields[38] = verdict.auth
    if (balanceMinor === null) return fields
    const currency = message.text(49)
    fields[54] =
      balanceGroup('01', currency, balanceMinor) + balanceGroup('02', currency, balanceMinor)
    return fields
  }
}

/** Identity of a request: DE7, DE11, DE32 and DE33 without leading zeros. */
function keyOf(transmission: string, stan: string, acquirer: string, forwarder: string): string {
  const bare = (id: string): string => id.replace(/^0+/, '')
  return `${transmission}-${stan}-${bare(acquirer)}-${bare(forwarder)}`
}

/** Key of the original that DE90 names: MTI 4, DE11 6, DE7 10, DE32 11, DE33 11. */
function originalKey(message: ReadMessage): string {
  const original = message.text(90)
  const [stan, transmission] = [original.slice(4, 10), original.slice(10, 20)]
  return keyOf(transmission, stan, original.slice(20, 31), original.slice(31, 42))
}

function factsOf(message: ReadMessage): Partial<BookLine> {
  return {
    key: keyOf(message.text(7), message.text(11), message.text(32), message.text(33)),
    mti: message.mti,
    stan: message.text(11),
    rrn: message.text(37),
    amount_minor: message.amountMinor() ?? 0,
    currency: message.text(49),
  }
}
