/**
 * CUPS as acquirer: other banks' terminals with the bank's own cards, on a line that CUPS dials.
 * Each transaction is remembered with what was answered; what was not answered is reversed until
 * the switch says so.
 */
import { encryptPin } from '../../hsm/algorithms/pin-translation.ts'
import { beijing, retrievalReference, settlementDate } from '../../simulators/calendar.ts'
import { pinOf, track2Of, wrongPinOf } from '../../simulators/cards.ts'
import type { ReadMessage } from '../../simulators/messages.ts'
import { wait } from '../../switch/runtime/clock.ts'
import { believedChip, OWN_CARDS } from './keys.ts'
import { PeerLine } from './line.ts'
import { MEMBER_ID, Scheme, type Values } from './scheme.ts'

/** One transaction as the acquiring bank sees it. */
export interface Brought {
  key: string // business key in the switch
  fields: Values
  amountMinor: number
  code: string // '' = no answer
  codes: Set<string> // of all answers
  resent: boolean // more than one copy went out
  wantReversal: boolean
  reversed: boolean
  done: boolean
}

const ACQUIRER = '01031000'
const ANSWER_MS = 12_000
const REDIAL_MS = 1_500
const REVERSAL_PAUSE_MS = 3_000
const MERCHANT = '103110054110001'
const CIRCUMSTANCES = '000005000300000000000012100'
const CENTRE_DATA = `511${'S0000000250'.padEnd(40, '0')}`

export class CupsNetwork extends Scheme {
  readonly brought: Brought[] = []
  #line: PeerLine | null = null
  readonly #waiting = new Map<string, (message: ReadMessage) => void>()
  #signOnStan = ''
  active = 0

  /** Begins to dial the switch. */
  start(): void {
    this.#dial()
  }

  override cameBack(): void {
    this.#dial()
  }

  override receive(line: PeerLine, envelope: Uint8Array, message: ReadMessage): void {
    const { mti } = message
    if (mti === '0830' && message.text(11) === this.#signOnStan) {
      line.signedOn = message.text(39) === '00'
      if (!line.signedOn) this.world.clock.after(REDIAL_MS, () => this.#signOn(line))
      return
    }
    if (mti === '0210' || mti === '0430') {
      const key = `${mti} ${message.text(7)} ${message.text(11)}`
      this.#waiting.get(key)?.(message)
      return
    }
    super.receive(line, envelope, message)
  }

  get ready(): boolean {
    return this.#line?.signedOn === true && (!this.secured || this.macs.macKey() !== null)
  }

  #dial(): void {
    const { host } = this
    if (host.dead) return
    const line = new PeerLine(
      this.wire,
      {
        opened: (opened) => this.#signOn(opened),
        message: (from, envelope, message) => this.receive(from, envelope, message),
        closed: () => {
          line.signedOn = false
          if (this.#line === line) this.#line = null
          this.world.clock.after(REDIAL_MS, () => {
            if (this.host === host && this.#line === null) this.#dial()
          })
        },
      },
      (why) => this.world.violate('unreadable', `cups own line: ${why}`),
    )
    this.#line = line
    line.dial(host, this.world.addresses.cupsIn)
  }

  #signOn(line: PeerLine): void {
    if (!line.open) return
    this.#signOnStan = this.nextStan()
    line.send(this.header(), this.wire.write('0820', {
      7: this.now().transmission, 11: this.#signOnStan, 33: '00010000', 70: '001', 100: MEMBER_ID,
    }))
    const stan = this.#signOnStan
    this.world.clock.after(6_000, () => {
      if (!line.signedOn && line.open && stan === this.#signOnStan) line.close('no_answer')
    })
  }

  /** Brings one transaction, counted in `active` by the caller, and follows it to its end. */
  async bring(): Promise<void> {
    while (!this.ready) await wait(this.world.clock, 700)
    const one = this.#make()
    this.brought.push(one)
    const { rates } = this.world.options
    const moves = one.amountMinor > 0 // an inquiry is not reversed
    const overtake = moves && this.#wants(rates.overtake)
    if (overtake) {
      one.wantReversal = true
      await this.#reverseOnce(one)
    }
    const answer = await this.#exchange('0200', one.fields, one)
    one.code = answer?.text(39) ?? ''
    const cancelled = one.code === '00' && this.#wants(rates.cancel)
    if (moves && (one.code === '' || cancelled)) one.wantReversal = true
    if (one.code === '00') this.world.approvalSeen(one.key, one.wantReversal, one.amountMinor)
    while (one.wantReversal && !one.reversed) {
      if (this.ready) await this.#reverseOnce(one)
      if (!one.reversed) await wait(this.world.clock, REVERSAL_PAUSE_MS)
    }
    one.done = true
    this.active--
  }

  #wants(rate: number): boolean {
    return this.world.faulty && this.chance.happens(rate)
  }

  #make(): Brought {
    const wall = this.world.clock.wallMs()
    const local = beijing(wall)
    const { card } = this.chance.pick(OWN_CARDS)
    const stan = this.nextStan()
    const balance = this.chance.below(20) === 0
    const amountMinor = balance ? 0 : 1 + this.chance.below(2_000)
    const fields: Values = {
      2: card.pan,
      3: balance ? '300000' : '000000',
      7: local.transmission,
      11: stan,
      12: local.time,
      13: local.date,
      14: card.expiry,
      15: settlementDate(wall),
      18: '5411',
      22: '022',
      25: '00',
      32: ACQUIRER,
      33: ACQUIRER,
      35: track2Of(card, '='),
      37: retrievalReference(wall, stan),
      41: '87654321',
      42: MERCHANT,
      43: 'CHN11000OTHER BANK SHOP'.padEnd(40),
      49: '156',
      60: CIRCUMSTANCES,
      100: MEMBER_ID,
      121: CENTRE_DATA,
    }
    const chip = this.secured ? null : believedChip(card, amountMinor)
    if (chip !== null) {
      fields[22] = '052'
      fields[23] = card.sequence.padStart(3, '0')
      fields[55] = chip.data
    }
    if (!balance) fields[4] = String(amountMinor).padStart(12, '0')
    const { pinKey } = this
    if (this.secured && pinKey !== undefined) {
      const wrong = this.#wants(this.world.options.rates.wrongPin)
      fields[26] = '12'
      fields[52] = encryptPin(
        pinKey.pair, 'unionpay_pan', wrong ? wrongPinOf(card) : pinOf(card), card.pan,
      )
      fields[53] = '2600000000000000'
    }
    const id = ACQUIRER.padStart(11, '0')
    const key = `cups|F|${stan}|${local.transmission}|${id}|${id}`
    return {
      key, fields, amountMinor, code: '', codes: new Set(), resent: false,
      wantReversal: false, reversed: false,
      done: false,
    }
  }

  async #reverseOnce(one: Brought): Promise<void> {
    const fields = this.#reversalOf(one)
    const answer = await this.#exchange('0420', fields, null)
    if (answer?.text(39) === '00') one.reversed = true
  }

  readonly #reversals = new Map<string, Values>()

  /** The same message with the same keys each time it is repeated. */
  #reversalOf(one: Brought): Values {
    const made = this.#reversals.get(one.key)
    if (made !== undefined) return made
    const { fields } = one
    const reversal: Values = {}
    for (const field of [2, 3, 4, 12, 13, 18, 22, 25, 32, 33, 37, 41, 42, 43, 49, 100, 121]) {
      const value = fields[field]
      if (value !== undefined) reversal[field] = value
    }
    const wall = this.world.clock.wallMs()
    const id = ACQUIRER.padStart(11, '0')
    reversal[7] = beijing(wall).transmission
    reversal[11] = this.nextStan()
    reversal[15] = settlementDate(wall)
    reversal[60] = `4351${CIRCUMSTANCES.slice(4)}`
    reversal[90] = `0200${String(fields[11])}${String(fields[7])}${id}${id}`
    this.#reversals.set(one.key, reversal)
    return reversal
  }

  /** Sends, now and then several times, and waits; null when nothing came. */
  #exchange(mti: string, fields: Values, one: Brought | null): Promise<ReadMessage | null> {
    const { clock, options } = this.world
    const key = `${mti === '0200' ? '0210' : '0430'} ${String(fields[7])} ${String(fields[11])}`
    return new Promise((resolve) => {
      const settle = (message: ReadMessage | null): void => {
        timer.cancel()
        if (one === null) this.#waiting.delete(key)
        resolve(message)
      }
      const timer = clock.after(ANSWER_MS, () => settle(null))
      this.#waiting.set(key, (message) => {
        one?.codes.add(message.text(39))
        if (this.secured && message.text(39) === '00' && this.macs.verify(message) !== 'right') {
          return settle(null)
        }
        settle(message)
      })
      const send = (): void => {
        const line = this.#line
        if (line?.signedOn === true) {
          line.send(this.header(), this.financial(mti, fields, null, false))
        }
      }
      send()
      const { faulty } = this.world
      if (faulty && this.chance.happens(options.rates.resend)) {
        if (one !== null) one.resent = true
        for (let n = 1 + this.chance.below(9); n > 0; n--) {
          clock.after(1 + this.chance.below(3_000), send)
        }
      }
    })
  }
}
