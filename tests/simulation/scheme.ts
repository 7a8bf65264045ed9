/**
 * A network of the simulation with the issuer of its cards behind it: signs on, delivers keys,
 * decides requests, undoes them, and enters everything in a book of its own. It loses, delays,
 * doubles and refuses as the options say. The book is what the switch's ledger is compared with.
 */
import { concat, equalConstantTime, fromHex } from '../../hsm/algorithms/bytes.ts'
import { decryptPin } from '../../hsm/algorithms/pin-translation.ts'
import {
  beijing, greenwich, retrievalReference, settlementDate,
} from '../../simulators/calendar.ts'
import { cardWithPan, pinOf } from '../../simulators/cards.ts'
import { freshKey, type WorkingKey } from '../../simulators/keys.ts'
import type { ReadMessage, Wire } from '../../simulators/messages.ts'
import {
  CupsKeys, keyResetField, macField, newKeyField, spoilMac,
} from '../../simulators/scheme/cups-security.ts'
import type { Timer } from '../../switch/runtime/clock.ts'
import type { Chance } from './chance.ts'
import { cipherOf } from './keys.ts'
import { PeerLine, WIRES } from './line.ts'
import { Host } from './net.ts'
import type { World } from './world.ts'

export type Values = Record<number, string | Uint8Array>

/** What a network knows of one transaction. */
export interface BookEntry {
  key: string // DE7-DE11
  rrn: string
  pan: string
  amountMinor: number
  code: string // '' while only its reversal was seen
  auth: string
  debit: boolean
  reversed: boolean
  reversals: number
}

const KEY_ANSWER_MS = 4_000
const KEYS_KEPT = 4
const OWN_ID = '00010000'
const STATION = '000000'
const NETWORK = fromHex('8000000002')
const ECHO_VISA = [2, 3, 4, 7, 11, 19, 25, 32, 37, 41, 42, 49] as const
const ECHO_VISA_REVERSAL = [...ECHO_VISA, 62, 63, 90] as const
const ECHO_CUPS = [
  2, 3, 4, 7, 11, 12, 13, 18, 25, 32, 33, 37, 41, 42, 49, 60, 90,
] as const
const CENTRE_DATA = `511${'S0000000250'.padEnd(40, '0')}`
export const MEMBER_ID = '10010001'

export class Scheme {
  readonly name: 'visa' | 'cups'
  readonly world: World
  readonly book = new Map<string, BookEntry>()
  readonly macs = new CupsKeys() // CUPS only
  readonly wire: Wire
  readonly chance: Chance
  readonly lines = new Set<PeerLine>()
  host: Host
  /** Every (class, DE7, STAN) the switch used, with what it was used for. */
  readonly #seen = new Map<string, string>()
  #pinKeys: WorkingKey[] = []
  #offered: { kind: 'pin' | 'mac'; key: WorkingKey; stan: string; timer: Timer } | null = null
  #stan: number
  #approvals = 0
  #isDown = false
  requests = 0
  reversals = 0
  lateAnswers = 0

  constructor(world: World, name: 'visa' | 'cups') {
    this.world = world
    this.name = name
    this.wire = WIRES[name]
    this.chance = world.fork(`scheme ${name}`)
    this.#stan = this.chance.below(900_000)
    this.host = new Host(world.net, name)
    this.listen()
  }

  listen(): void {
    const at = this.world.addresses[this.name]
    void this.host.listen(at, (connection) => {
      const line = new PeerLine(
        this.wire,
        {
          opened: () => undefined,
          message: (from, envelope, message) => this.receive(from, envelope, message),
          closed: (gone) => this.lines.delete(gone),
        },
        (why) => this.world.violate('unreadable', `${this.name}: ${why}`),
      )
      line.attach(connection)
      this.lines.add(line)
      return line
    })
  }

  /** The network's machine goes down for a while; its book stays. */
  down(forMs: number): void {
    if (this.#isDown) return
    this.#isDown = true
    this.host.kill()
    this.lines.clear()
    this.#offered?.timer.cancel()
    this.#offered = null
    this.host = new Host(this.world.net, this.name)
    this.world.clock.after(forMs, () => {
      this.#isDown = false
      this.listen()
      this.cameBack()
    })
  }

  /** For the acquiring side of CUPS. */
  cameBack(): void {}

  nextStan(): string {
    this.#stan = (this.#stan % 999_999) + 1
    return String(this.#stan).padStart(6, '0')
  }

  get pinKey(): WorkingKey | undefined {
    return this.#pinKeys[0]
  }

  get secured(): boolean {
    return this.world.options.secured
  }

  now(): { transmission: string } {
    const wall = this.world.clock.wallMs()
    return this.name === 'visa' ? greenwich(wall) : beijing(wall)
  }

  // Receiving

  receive(line: PeerLine, envelope: Uint8Array, message: ReadMessage): void {
    const { mti } = message
    if (mti === '0800' || mti === '0820') this.#network(line, envelope, message)
    else if (mti === '0810' || mti === '0830') this.#keyAnswered(line, message)
    else if (mti === '0100' || mti === '0200') this.#authorise(line, envelope, message)
    else if (mti === '0420' || mti === '0421') this.#reverse(line, envelope, message)
    else this.world.violate('unexpected_message', `${this.name} got ${mti}`)
  }

  header(): Uint8Array {
    if (this.name === 'visa') return new Uint8Array(0)
    const header = Buffer.alloc(46)
    header[0] = 46
    header[1] = 0x02
    header.write('0000', 2, 'latin1')
    header.write(MEMBER_ID.padEnd(11), 6, 'latin1')
    header.write(OWN_ID.padEnd(11), 17, 'latin1')
    header.write('00000000', 32, 'latin1')
    header.write('00000', 41, 'latin1')
    return header
  }

  #write(mti: string, fields: Values, request: ReadMessage | null): Uint8Array {
    if (this.name === 'cups') return this.wire.write(mti, fields)
    const layout = this.wire.dialect.header
    const header = request === null
      ? layout?.request(STATION) : layout?.reply(request.header(), STATION)
    return this.wire.write(mti, fields, header)
  }

  /** A financial message or answer, with MAC where the network has one. */
  financial(mti: string, fields: Values, request: ReadMessage | null, spoilt: boolean): Uint8Array {
    const key = this.macs.macKey()
    if (this.name === 'visa' || !this.secured || key === null) {
      return this.#write(mti, fields, request)
    }
    return this.wire.writeAuthenticated(mti, fields, 128, (draft) => {
      return spoilt ? spoilMac(macField(key, draft)) : macField(key, draft)
    })
  }

  // Network management

  #network(line: PeerLine, envelope: Uint8Array, message: ReadMessage): void {
    const code = message.text(70)
    this.#unique('8', message, `network ${code}`)
    const on = code === '071' || code === '001'
    const off = code === '072' || code === '002'
    if (on) line.signedOn = true
    if (off) line.signedOn = false
    const { rates } = this.world.options
    if (this.world.faulty && this.chance.happens(rates.deaf)) return
    const visa = this.name === 'visa'
    const echo = message.pick(visa ? [7, 11, 37, 63, 70] : [7, 11, 33, 53, 70, 100])
    const answer = this.#write(visa ? '0810' : '0830', { ...echo, 39: '00' }, message)
    line.answer(envelope, answer)
    if (on) this.offerKey(line, 'pin')
  }

  /** Says on every signed-on line that nothing financial may pass, and ends the line. */
  signOff(): void {
    for (const line of [...this.lines]) {
      if (!line.signedOn) continue
      line.signedOn = false
      const fields: Values = { 7: this.now().transmission, 11: this.nextStan() }
      if (this.name === 'visa') {
        line.send(this.header(), this.#write('0800', {
          ...fields, 37: retrievalReference(this.world.clock.wallMs(), String(fields[11])),
          63: NETWORK, 70: '072',
        }, null))
      } else {
        const off = { ...fields, 33: OWN_ID, 70: '002', 100: MEMBER_ID }
        line.send(this.header(), this.#write('0820', off, null))
      }
      this.world.clock.after(500, () => line.close('signed_off'))
    }
  }

  renewKeys(): void {
    for (const line of this.lines) {
      if (line.signedOn) return this.offerKey(line, 'pin')
    }
  }

  offerKey(line: PeerLine, kind: 'pin' | 'mac'): void {
    this.#offered?.timer.cancel()
    const key = freshKey(this.chance)
    const stan = this.nextStan()
    const visa = this.name === 'visa'
    line.send(this.header(), visa ? this.#visaKey(key, stan) : this.#cupsKey(kind, key, stan))
    // It may be in force over there although its answer gets lost.
    if (kind === 'pin') this.#pinKeys = this.#pinKeys.toSpliced(1, 0, key).slice(0, KEYS_KEPT)
    const timer = this.world.clock.after(KEY_ANSWER_MS, () => {
      this.#offered = null
      if (line.open && line.signedOn) this.offerKey(line, kind)
    })
    this.#offered = { kind, key, stan, timer }
  }

  #visaKey(key: WorkingKey, stan: string): Uint8Array {
    const wall = this.world.clock.wallMs()
    return this.#write('0800', {
      7: this.now().transmission,
      11: stan,
      37: retrievalReference(wall, stan),
      63: NETWORK,
      70: '101',
      96: concat(key.checkValue(3), new Uint8Array(5)),
      105: key.wrappedUnder(cipherOf('demo.zmk.visa')),
    }, null)
  }

  #cupsKey(kind: 'pin' | 'mac', key: WorkingKey, stan: string): Uint8Array {
    const fields: Values = {
      7: this.now().transmission,
      11: stan,
      48: newKeyField(key.wrappedUnder(cipherOf('demo.zmk.cups'))),
      53: kind === 'pin' ? '1600000000000000' : '2600000000000000',
      70: '101',
      96: new Uint8Array(8),
      100: MEMBER_ID,
    }
    return this.wire.writeAuthenticated('0800', fields, 128, (draft) => keyResetField(key, draft))
  }

  #keyAnswered(line: PeerLine, message: ReadMessage): void {
    const offered = this.#offered
    if (offered === null || message.text(11) !== offered.stan) return
    offered.timer.cancel()
    this.#offered = null
    if (message.text(39) !== '00') {
      this.world.clock.after(KEY_ANSWER_MS, () => {
        if (line.open && line.signedOn && this.#offered === null) this.offerKey(line, offered.kind)
      })
      return
    }
    if (offered.kind === 'pin') {
      const others = this.#pinKeys.filter((key) => key !== offered.key)
      this.#pinKeys = [offered.key, ...others].slice(0, KEYS_KEPT)
    } else this.macs.install('mac', offered.key)
    if (offered.kind === 'pin' && this.name === 'cups') this.offerKey(line, 'mac')
  }

  // Financials

  /** No STAN twice per link and DE7, but for the repeat of the same message. */
  #unique(kind: string, message: ReadMessage, what: string): boolean {
    const key = `${kind} ${message.text(7)} ${message.text(11)}`
    const before = this.#seen.get(key)
    if (before === undefined) {
      this.#seen.set(key, what)
      return true
    }
    if (kind !== '4' || before !== what) {
      this.world.violate('stan_twice', `${this.name} ${key}: ${before}, then ${what}`)
    }
    return false
  }

  /** Whether a message of the switch carries a MAC that is right under a key of ours. */
  #macGood(message: ReadMessage): boolean {
    if (this.name === 'visa' || !this.secured) return true
    return this.macs.verify(message) === 'right'
  }

  #authorise(line: PeerLine, envelope: Uint8Array, message: ReadMessage): void {
    const { rates, replyMs } = this.world.options
    const { faulty } = this.world
    this.requests++
    this.#unique('2', message, `request ${message.text(37)}`)
    if (faulty && this.chance.happens(rates.deaf)) return
    const answerMti = message.mti === '0100' ? '0110' : '0210'
    const signedOn = line.signedOn
    if (!signedOn || !this.#macGood(message)) {
      // Nothing is entered: the member learns that it was not processed.
      const code = signedOn ? 'A0' : this.name === 'visa' ? '91' : '77'
      const refusal = this.#fields(message, code, '', false)
      line.answer(envelope, this.financial(answerMti, refusal, message, false))
      return
    }
    const entry = this.#enter(message)
    const approved = entry.code === '00'
    const unknown = faulty && this.chance.happens(rates.unknownCode)
    const code = unknown && !approved ? 'ZZ' : entry.code
    const fields = this.#fields(message, code, entry.auth, !entry.debit && approved)
    const spoilt = faulty && this.chance.happens(rates.badMac)
    const answer = (): void => {
      line.answer(envelope, this.financial(answerMti, fields, message, spoilt))
    }
    if (faulty && this.chance.happens(rates.lost)) return
    if (faulty && this.chance.happens(rates.late)) {
      this.lateAnswers++
      this.world.clock.after(replyMs - 50 + this.chance.below(8_000), answer)
      return
    }
    this.world.clock.after(1 + this.chance.below(300), () => {
      answer()
      if (faulty && this.chance.happens(rates.duplicate)) {
        for (let n = 1 + this.chance.below(9); n > 0; n--) {
          this.world.clock.after(1 + this.chance.below(4_000), answer)
        }
      }
    })
  }

  #enter(message: ReadMessage): BookEntry {
    const key = keyOf(message.text(7), message.text(11))
    const seen = this.book.get(key)
    const entry: BookEntry = seen ?? {
      key, rrn: '', pan: '', amountMinor: 0, code: '', auth: '', debit: true,
      reversed: false, reversals: 0,
    }
    if (seen !== undefined && seen.code !== '') return seen
    entry.rrn = message.text(37)
    entry.pan = message.text(2)
    entry.amountMinor = message.amountMinor() ?? 0
    entry.debit = !message.text(3).startsWith('3')
    entry.code = entry.reversed ? (this.name === 'visa' ? '79' : '22') : this.#verdict(message)
    if (entry.code === '00') {
      this.#approvals++
      entry.auth = String(this.#approvals % 1_000_000).padStart(6, '0')
    }
    this.book.set(key, entry)
    return entry
  }

  #verdict(message: ReadMessage): string {
    const card = cardWithPan(message.text(2))
    if (card === undefined || card.issuer !== this.name) return '14'
    if (card.expiry < beijing(this.world.clock.wallMs()).longDate.slice(0, 4)) return '54'
    if (this.world.faulty && this.chance.happens(this.world.options.rates.decline)) {
      return this.chance.pick(['05', '51', '61', '91', '96'])
    }
    if (!message.has(52)) return '00'
    const format = this.name === 'visa' ? 'iso0' : 'unionpay_pan'
    const block = message.bytesOf(52)
    for (const key of this.#pinKeys) {
      try {
        const given = decryptPin(key.pair, format, block, card.pan)
        if (equalConstantTime(given, pinOf(card))) return '00'
      } catch {
        // not under this key
      }
    }
    return '55'
  }

  #fields(message: ReadMessage, code: string, auth: string, balance: boolean): Values {
    if (this.name === 'visa') {
      const fields: Values = { ...message.pick(ECHO_VISA), 39: code, 44: '5', 63: NETWORK }
      if (code === '00') fields[38] = auth
      if (balance) fields[54] = '1002156C000000100000'
      return fields
    }
    const fields: Values = {
      ...message.pick(ECHO_CUPS),
      14: '0000',
      15: settlementDate(this.world.clock.wallMs()),
      39: code,
      100: '01000000',
      121: CENTRE_DATA,
    }
    if (code === '00') fields[38] = auth
    if (balance) fields[54] = '1002156C000000100000'
    return fields
  }

  #reverse(line: PeerLine, envelope: Uint8Array, message: ReadMessage): void {
    const { rates, replyMs } = this.world.options
    const { faulty } = this.world
    this.reversals++
    const original = message.text(90)
    this.#unique('4', message, `reversal ${original.slice(4, 20)}`)
    if (faulty && this.chance.happens(rates.reversalDeaf)) return
    const answer = (code: string): Uint8Array => {
      const visa = this.name === 'visa'
      const fields: Values = visa
        ? { ...message.pick(ECHO_VISA_REVERSAL), 39: code, 44: '7' }
        : {
          ...message.pick(ECHO_CUPS), 15: settlementDate(this.world.clock.wallMs()), 39: code,
          100: '01000000', 121: CENTRE_DATA,
        }
      return this.financial('0430', fields, message, false)
    }
    const say = (code: string): void => {
      line.answer(envelope, answer(code))
    }
    if (!line.signedOn) return say('91')
    if (!this.#macGood(message)) return say('96')
    if (faulty && this.chance.happens(rates.reversalRetry)) return say('96')
    const known = this.undo(message, keyOf(original.slice(10, 20), original.slice(4, 10)))
    if (faulty && this.chance.happens(rates.reversalLost)) return
    const code = known || this.chance.below(2) === 0 ? '00' : '25'
    const late = faulty && this.chance.happens(rates.late)
    const afterMs = late ? replyMs - 50 + this.chance.below(8_000) : 1 + this.chance.below(300)
    this.world.clock.after(afterMs, () => say(code))
  }

  undo(message: ReadMessage, key: string): boolean {
    const seen = this.book.get(key)
    const amountMinor = message.amountMinor() ?? 0
    if (seen === undefined) {
      this.book.set(key, {
        key, rrn: '', pan: '', amountMinor, code: '', auth: '', debit: true, reversed: true,
        reversals: 1,
      })
      return false
    }
    if (seen.amountMinor !== amountMinor) {
      const amounts = `${amountMinor} of ${seen.amountMinor}`
      this.world.violate('reversal_amount', `${this.name} ${key}: ${amounts}`)
    }
    seen.reversed = true
    seen.reversals++
    return true
  }
}

/** Identity of a request at a network that has one member: DE7 and DE11. */
export function keyOf(transmission: string, stan: string): string {
  return `${transmission}-${stan}`
}
