/**
 * A POS terminal of the simulation: sells, repeats, cancels, reverses what was not answered until
 * it is told that it was, and remembers how each sale ended for it. What it remembers at the end is
 * compared with the switch's ledger and the networks' books.
 */
import { equalConstantTime, fromHex } from '../../hsm/algorithms/bytes.ts'
import { encryptPin } from '../../hsm/algorithms/pin-translation.ts'
import {
  CARDS, pinOf, track2Of, wrongPinOf, type SyntheticCard,
} from '../../simulators/cards.ts'
import { Chip, type ChipRequest } from '../../simulators/chip.ts'
import { beijing } from '../../simulators/calendar.ts'
import { type WorkingKey, receivedKey } from '../../simulators/keys.ts'
import type { ReadMessage } from '../../simulators/messages.ts'
import { wait } from '../../switch/runtime/clock.ts'
import type { Chance } from './chance.ts'
import { believedChip, cipherOf, terminalKeyName } from './keys.ts'
import { PeerLine, WIRES } from './line.ts'
import { Host } from './net.ts'
import type { Values } from './scheme.ts'
import type { World } from './world.ts'

/** One sale or inquiry as the terminal sees it. */
export interface Sale {
  key: string // business key in the switch
  stan: string
  fields: Values
  amountMinor: number
  code: string // of the answer that counts, '' = none
  codes: Set<string> // of all answers that came
  answered: boolean
  resent: boolean // more than one copy went out
  wantReversal: boolean
  reversed: boolean
  done: boolean
}

const ENVELOPE = fromHex('6000030000603100310730')
const MERCHANT = '123456789012345'
const BATCH = '000001'
const ANSWER_MS = 30_000
const SIGN_ON_MS = 6_000
const REDIAL_MS = 1_000
const REVERSAL_PAUSE_MS = 2_000
/** Cards that are neither expired nor poor nor of an unknown bank. */
const GOOD_CARDS = CARDS.filter((card) => {
  return card.expiry > '2900' && card.openingBalanceMinor > 100_000n
})
const CHIPS = new Map<string, Chip>()

export class Terminal {
  readonly id: string
  readonly sales: Sale[] = []
  readonly world: World
  readonly #chance: Chance
  readonly #host: Host
  readonly #wire = WIRES.pos
  #line: PeerLine | null = null
  #pinKey: WorkingKey | null = null
  #macKey: WorkingKey | null = null
  #stan: number
  #atc = 0
  #reading = new Map<string, (message: ReadMessage) => void>()
  #lost: Array<() => void> = []
  readonly #bySale = new Map<string, Sale>()
  idle = false

  constructor(world: World, id: string) {
    this.world = world
    this.id = id
    this.#chance = world.fork(`terminal ${id}`)
    this.#stan = this.#chance.below(999_999)
    this.#host = new Host(world.net, `pos ${id}`)
  }

  /** The line is pulled. */
  cut(): void {
    this.#line?.close('pulled')
  }

  /** Lives until no transaction is left to begin and everything begun has ended. */
  async life(): Promise<void> {
    while (this.world.takeTicket()) {
      const pause = this.world.options.terminals * 2_000 / this.world.options.perSecond
      await wait(this.world.clock, 1 + this.#chance.below(pause))
      await this.#sell()
    }
    this.idle = true
  }

  get #secured(): boolean {
    return this.world.options.secured
  }

  #wants(rate: number): boolean {
    return this.world.faulty && this.#chance.happens(rate)
  }

  // Line and keys

  async #ready(): Promise<void> {
    for (;;) {
      if (this.#line === null) await this.#connect()
      else if (this.#secured && this.#macKey === null) await this.#signOn()
      else return
    }
  }

  #connect(): Promise<void> {
    return new Promise((resolve) => {
      const line = new PeerLine(
        this.#wire,
        {
          opened: (opened) => {
            this.#line = opened
            resolve()
          },
          message: (_line, _envelope, message) => this.#receive(message),
          closed: () => {
            if (this.#line === line) this.#line = null
            for (const tell of this.#lost.splice(0)) tell()
            this.world.clock.after(REDIAL_MS + this.#chance.below(500), resolve)
          },
        },
        (why) => this.world.violate('unreadable', `terminal: ${why}`),
      )
      line.dial(this.#host, this.world.addresses.pos)
    })
  }

  async #signOn(): Promise<void> {
    const stan = this.#nextStan()
    const fields: Values = {
      11: stan,
      41: this.id,
      42: MERCHANT,
      60: `00${BATCH}003`,
      62: Uint8Array.from(Buffer.from('Sequence No16SWYD0000SIM00001', 'ascii')),
      63: '01 ',
    }
    const bytes = this.#wire.write('0800', fields)
    const answer = await this.#exchange(bytes, `0810 ${stan}`, SIGN_ON_MS)
    if (answer?.text(39) !== '00') return wait(this.world.clock, REDIAL_MS)
    const data = answer.bytesOf(62)
    const master = cipherOf(terminalKeyName(this.id))
    this.#pinKey = receivedKey(master, data.slice(0, 16), data.slice(16, 20))
    this.#macKey = receivedKey(master, data.slice(20, 28), data.slice(36, 40))
    if (this.#pinKey === null || this.#macKey === null) {
      this.world.violate('terminal_keys', `${this.id}: check values are wrong`)
    }
  }

  #nextStan(): string {
    this.#stan = (this.#stan % 999_999) + 1
    return String(this.#stan).padStart(6, '0')
  }

  #receive(message: ReadMessage): void {
    const stan = message.text(11)
    const sale = this.#bySale.get(stan)
    if (message.mti === '0210' && sale !== undefined) {
      sale.codes.add(message.text(39))
      if (message.text(39) === '00') {
        this.world.approvalSeen(sale.key, sale.wantReversal, sale.amountMinor)
      }
    }
    this.#reading.get(`${message.mti} ${stan}`)?.(message)
  }

  #exchange(bytes: Uint8Array, key: string, waitMs: number): Promise<ReadMessage | null> {
    return new Promise((resolve) => {
      let settled = false
      const settle = (message: ReadMessage | null): void => {
        if (settled) return
        settled = true
        timer.cancel()
        this.#reading.delete(key)
        resolve(message)
      }
      const timer = this.world.clock.after(waitMs, () => settle(null))
      this.#reading.set(key, settle)
      this.#lost.push(() => settle(null))
      if (this.#line?.send(ENVELOPE, bytes) !== true) settle(null)
    })
  }

  #authenticated(mti: string, fields: Values): Uint8Array {
    const key = this.#macKey
    if (!this.#secured || key === null) return this.#wire.write(mti, fields)
    return this.#wire.writeAuthenticated(mti, fields, 64, (draft) => {
      return key.posMac(draft.bytesBefore(64))
    })
  }

  #macRight(answer: ReadMessage): boolean {
    if (!this.#secured) return true
    if (!answer.has(64) || this.#macKey === null) return false
    return equalConstantTime(this.#macKey.posMac(answer.bytesBefore(64)), answer.bytesOf(64))
  }

  // Sales

  async #sell(): Promise<void> {
    await this.#ready()
    const { rates } = this.world.options
    const { sale, chip } = this.#make()
    this.sales.push(sale)
    this.#bySale.set(sale.stan, sale)
    const moves = sale.amountMinor > 0 // an inquiry is not reversed
    if (moves && this.#wants(rates.overtake)) {
      sale.wantReversal = true
      await this.#reverse(sale, chip, 1)
      await this.#ready()
    }
    const waitMs = this.#wants(rates.early) ? 1 + this.#chance.below(1_500) : ANSWER_MS
    const bytes = this.#authenticated('0200', sale.fields)
    this.#resend(bytes, sale, rates.resend, 2_000)
    const answer = await this.#exchange(bytes, `0210 ${sale.stan}`, waitMs)
    this.#conclude(sale, answer)
    if (answer !== null && this.#wants(rates.repeat)) {
      this.#resend(bytes, sale, 10_000, 3_000)
      await wait(this.world.clock, 3_500)
    }
    if (sale.code === '00' && this.#wants(rates.cancel)) sale.wantReversal = true
    if (!moves) sale.wantReversal = false
    if (sale.wantReversal) await this.#reverse(sale, chip, Number.MAX_SAFE_INTEGER)
    sale.done = true
  }

  #conclude(sale: Sale, answer: ReadMessage | null): void {
    sale.answered = answer !== null
    sale.code = answer?.text(39) ?? ''
    if (sale.code === '00' && answer !== null && !this.#macRight(answer)) {
      sale.code = ''
      this.world.violate('answer_mac', `${this.id} ${sale.stan}`)
    }
    if (sale.code === '') sale.wantReversal = true
    if (sale.code === 'A0' || sale.code === '77') this.#macKey = null
  }

  /** The same bytes again, or the same key with another amount. */
  #resend(bytes: Uint8Array, sale: Sale, rate: number, withinMs: number): void {
    if (!this.#wants(rate)) return
    const forged = this.#wants(this.world.options.rates.forge)
    const amount = String(sale.amountMinor + 1).padStart(12, '0')
    sale.resent = true
    const other = forged && sale.amountMinor > 0
      ? this.#authenticated('0200', { ...sale.fields, 4: amount }) : bytes
    for (let n = 1 + this.#chance.below(4); n > 0; n--) {
      this.world.clock.after(1 + this.#chance.below(withinMs), () => {
        this.#line?.send(ENVELOPE, n === 1 ? other : bytes)
      })
    }
  }

  /** Sends 0400 until it is accepted; each time the same. */
  async #reverse(sale: Sale, chip: ChipRequest | null, times: number): Promise<void> {
    const fields: Values = { ...sale.fields, 39: '98' }
    for (const field of [26, 35, 36, 37, 52, 53]) delete fields[field]
    if (chip !== null) fields[55] = chip.reversalData
    for (let tried = 0; tried < times && !sale.reversed; tried++) {
      if (tried > 0) await wait(this.world.clock, REVERSAL_PAUSE_MS)
      await this.#ready()
      const bytes = this.#authenticated('0400', fields)
      const answer = await this.#exchange(bytes, `0410 ${sale.stan}`, SIGN_ON_MS * 2)
      const code = answer?.text(39) ?? ''
      if (code === 'A0' || code === '77') this.#macKey = null
      if (code === '00') sale.reversed = true
    }
  }

  #make(): { sale: Sale; chip: ChipRequest | null } {
    const stan = this.#nextStan()
    const card = this.#chance.pick(this.#chance.below(8) === 0 ? CARDS : GOOD_CARDS)
    const balance = this.#chance.below(20) === 0
    const amountMinor = balance ? 0 : 1 + this.#chance.below(3_000)
    const withPin = this.#secured && this.#pinKey !== null && this.#chance.below(3) > 0
    const withChip = card.chip && (!this.#secured || this.#chance.below(3) > 0)
    const fields: Values = {
      3: balance ? '310000' : '000000',
      2: card.pan,
      11: stan,
      14: card.expiry,
      22: `${withChip ? '05' : '02'}${withPin ? '1' : '2'}`,
      25: '00',
      35: track2Of(card, 'D'),
      41: this.id,
      42: MERCHANT,
      49: '156',
      60: `${balance ? '01' : '22'}${BATCH}00050`,
    }
    if (!balance) fields[4] = String(amountMinor).padStart(12, '0')
    const chip = withChip ? this.#readChip(card, amountMinor, balance) : null
    if (chip !== null) {
      fields[23] = card.sequence.padStart(3, '0')
      fields[55] = chip.data
    }
    if (withPin && this.#pinKey !== null) {
      const pin = this.#wants(this.world.options.rates.wrongPin) ? wrongPinOf(card) : pinOf(card)
      fields[26] = '12'
      fields[52] = encryptPin(this.#pinKey.pair, 'unionpay_pan', pin, card.pan)
      fields[53] = '2600000000000000'
    }
    const sale: Sale = {
      key: `pos|F|${this.id}|${MERCHANT}|${stan}|${BATCH}`,
      stan,
      fields,
      amountMinor,
      code: '',
      codes: new Set(),
      answered: false,
      resent: false,
      wantReversal: false,
      reversed: false,
      done: false,
    }
    return { sale, chip }
  }

  #readChip(card: SyntheticCard, amountMinor: number, balance: boolean): ChipRequest {
    const believed = this.#secured ? null : believedChip(card, amountMinor)
    if (believed !== null) return believed
    let chip = CHIPS.get(card.name)
    if (chip === undefined) {
      chip = new Chip(cipherOf('demo.issuer.imk_ac'), card)
      CHIPS.set(card.name, chip)
    }
    this.#atc = (this.#atc % 65_535) + 1
    return chip.request({
      amountMinor,
      currency: '156',
      date: beijing(this.world.clock.wallMs()).longDate,
      type: balance ? '31' : '00',
      unpredictableNumber: Uint8Array.from(this.#chance.bytes(4)),
      atc: this.#atc,
    })
  }
}

