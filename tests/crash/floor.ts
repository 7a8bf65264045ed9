/**
 * The shop floor of the crash tests: terminals that go on selling while the switch dies, and what
 * each of them believes.
 *
 * A till is one terminal with one request at a time. What it did not hear of it reverses or repeats
 * before anything else, as POS and ATM do. Another bank's terminals behind CUPS do the same with
 * our cards. Everything by chance comes from a seed.
 */

import { cardNamed } from '../../simulators/cards.ts'
import type { CupsAcquirer } from '../../simulators/scheme/cups-acquirer.ts'
import type { AtmTerminal } from '../../simulators/terminal/atm.ts'
import { posFrame, type PosTerminal } from '../../simulators/terminal/pos.ts'
import type { OperationResult } from '../../simulators/terminal/line.ts'
import { systemClock, wait } from '../../switch/runtime/clock.ts'
import type { Random } from '../../switch/runtime/random.ts'

/** What a terminal can be told to prefer. */
export type Act =
  | 'own' | 'visa' | 'cups' | 'balance' | 'silent' | 'late' | 'deaf' | 'drop' | 'park' | 'bad_mac'
  | 'delay' | 'decline' | 'undo' | 'double' | 'sign_on' | 'incoming' | 'wrong_pin' | 'renew_keys'

export type Belief = 'unknown' | 'approved' | 'declined' | 'reversed'

/** One transaction as its terminal knows it. */
export interface Item {
  readonly where: 'pos' | 'atm' | 'cups'
  readonly terminal: string
  readonly stan: string
  /** Reference number, of transactions that CUPS brings. */
  readonly rrn: string
  readonly card: string
  readonly amountMinor: number
  belief: Belief
}

/** Amounts in minor units that the schemes' fault rules look at; ordinary amounts are below. */
const SPECIAL: Partial<Record<Act, number>> = {
  silent: 60_000, late: 61_000, drop: 62_000, park: 63_000, bad_mac: 64_000, deaf: 65_000,
  delay: 67_000, decline: 68_000,
}

/** Fault rules of both schemes for these amounts; the switch waits 500 ms for an answer. */
export const RULES: Readonly<Record<'visa' | 'cups', readonly string[]>> = {
  visa: [
    'mti=0100,amount=60000-60999:silent', 'mti=0100,amount=61000-61999:late=650',
    'mti=0100,amount=62000-62999:drop', 'mti=0420,amount=63000-63999:decline=12',
    'mti=0421,amount=63000-63999:decline=12', 'mti=0100,amount=63000-63999:silent',
    'mti=0100,amount=65000-65999:deaf', 'mti=0100,amount=67000-67999:delay=250',
    'mti=0100,amount=68000-68999:decline=51',
  ],
  cups: [
    'mti=0200,amount=60000-60999:silent', 'mti=0200,amount=61000-61999:late=650',
    'mti=0200,amount=62000-62999:drop', 'mti=0200,amount=64000-64999:bad_mac',
    'mti=0200,amount=65000-65999:deaf', 'mti=0200,amount=67000-67999:delay=250',
    'mti=0200,amount=68000-68999:decline=51',
  ],
}

const OWN = ['own-1', 'own-2', 'own-3', 'own-4']
const DICE: readonly Act[] = [
  'own', 'own', 'own', 'visa', 'visa', 'visa', 'cups', 'cups', 'balance', 'silent', 'late', 'deaf', 'bad_mac',
  'delay', 'decline', 'undo', 'undo', 'double', 'sign_on', 'wrong_pin', 'drop', 'renew_keys',
]
/** Pause of a terminal that cannot reach the switch, ms. */
const UNREACHED_MS = 60
/** How often a till looks whether the floor closes, ms. */
const LOOK_MS = 20

/** One terminal: it owns its line, its items, and what it must still clear up. */
export abstract class Till {
  readonly items: Item[] = []
  open: Item | null = null
  protected keysKnown = false
  protected readonly random: Random

  constructor(random: Random) {
    this.random = random
  }

  /**
   * One operation: what is open first, then the act; null begins nothing new. Never rejects because
   * the switch is away.
   */
  abstract step(act: Act | null, done: () => boolean): Promise<void>
  abstract close(): void

  /** Nothing is open, nothing is in hand. */
  get settled(): boolean {
    return this.open === null
  }

  protected pick<T>(of: readonly T[]): T {
    return of[this.random.below(of.length)]!
  }

  protected amountFor(act: Act): number {
    const special = SPECIAL[act]
    if (special === undefined) return 100 + this.random.below(5_000)
    return special + this.random.below(1_000)
  }
}

type Terminal = PosTerminal | AtmTerminal

/** A POS or an ATM. */
export class TerminalTill extends Till {
  readonly #where: 'pos' | 'atm'
  readonly #id: string
  readonly #terminal: Terminal
  #lastFrame: Uint8Array | null = null
  #reversing = false // a reversal of what is open has left: it is not asked again any more

  constructor(where: 'pos' | 'atm', id: string, terminal: Terminal, random: Random) {
    super(random)
    this.#where = where
    this.#id = id
    this.#terminal = terminal
    const { line } = terminal
    const exchange = line.exchange.bind(line)
    line.exchange = (envelope, message, matches, timeoutMs) => {
      this.#lastFrame = where === 'pos' ? posFrame(message) : atmFrame(message)
      return exchange(envelope, message, matches, timeoutMs)
    }
  }

  async step(act: Act | null): Promise<void> {
    if (!(await this.#reach())) return
    if (this.open !== null) return this.#clearUp(this.open)
    if (act === null) return
    if (act === 'sign_on') {
      this.keysKnown = false
      return
    }
    if (act === 'balance') {
      await this.#ask(act, 0)
      return
    }
    await this.#trade(act)
  }

  close(): void {
    this.#terminal.close()
  }

  /** A line and keys, or a short pause. */
  async #reach(): Promise<boolean> {
    const terminal = this.#terminal
    if (!terminal.line.connected) {
      try {
        await terminal.connect()
      } catch {
        await wait(systemClock, UNREACHED_MS)
        return false
      }
    }
    if (this.keysKnown) return true
    const result = await terminal.signOn()
    this.keysKnown = result.code === '00' && result.note === ''
    if (!this.keysKnown) await wait(systemClock, UNREACHED_MS)
    return this.keysKnown
  }

  async #trade(act: Act): Promise<void> {
    const asking = this.#ask(act, this.amountFor(act))
    if (act === 'double' && this.#lastFrame) this.#terminal.line.sendRaw(this.#lastFrame)
    const { result, card } = await asking
    const item: Item = {
      where: this.#where, terminal: this.#id, stan: result.stan, rrn: '', card,
      amountMinor: result.amountMinor, belief: believed(result),
    }
    this.items.push(item)
    if (item.belief === 'unknown') this.open = item
    else if (act === 'undo' && item.belief === 'approved') {
      item.belief = 'unknown' // the customer changed his mind; from now on it must be undone
      this.open = item
      await this.#undo(item)
    }
  }

  async #ask(act: Act, amountMinor: number): Promise<{ result: OperationResult; card: string }> {
    const name = this.#cardFor(act)
    const card = cardNamed(name)
    const own = name.startsWith('own')
    const more = { wrongPin: act === 'wrong_pin', keepUnanswered: true }
    const terminal = this.#terminal
    const request = { card, amountMinor, chip: own, withPin: true, ...more }
    if (act === 'balance') return { result: await terminal.balance(request), card: name }
    const trade = 'sale' in terminal ? terminal.sale(request) : terminal.withdrawal(request)
    return { result: await trade, card: name }
  }

  #cardFor(act: Act): string {
    const cups = ['cups-1', 'cups-3']
    switch (act) {
      case 'own':
      case 'balance':
        return this.pick(OWN)
      case 'wrong_pin': // other networks do not block a card for it
      case 'park':
      case 'visa':
        return this.pick(['visa-1', 'visa-3'])
      case 'cups':
      case 'bad_mac':
        return this.pick(cups)
      case 'undo':
      case 'double':
        return this.pick([...OWN, 'visa-1', 'visa-3', ...cups])
      default:
        return this.pick(['visa-1', 'visa-3', 'visa-3', ...cups])
    }
  }

  /** Nobody answered: mostly reversed, sometimes asked again; the switch must bear either. */
  async #clearUp(item: Item): Promise<void> {
    if (this.#reversing || this.random.below(4) > 0) return this.#undo(item)
    const again = await this.#terminal.repeat()
    const belief = believed(again)
    // A wrong MAC says that the keys changed since: then nothing is known, and it is reversed.
    if (belief === 'unknown' || again.code === 'A0') return this.#undo(item)
    item.belief = belief
    this.open = null
  }

  async #undo(item: Item): Promise<void> {
    const terminal = this.#terminal
    this.#reversing = true
    const result =
      'sale' in terminal ? await terminal.reversal('timeout') : await terminal.reversal('68')
    if (result.code === 'A0') this.keysKnown = false
    if (result.code !== '00' || result.macRight !== true) return
    item.belief = 'reversed'
    this.open = null
    this.#reversing = false
  }
}

/** Other banks' terminals behind CUPS, with our cards. */
export class IncomingTill extends Till {
  readonly #acquirer: CupsAcquirer
  #counter = 0
  #inHand: Promise<void> | null = null

  constructor(acquirer: CupsAcquirer, random: Random) {
    super(random)
    this.#acquirer = acquirer
  }

  /**
   * Its network tells it nothing of a dead line: what is in hand ends with its own time-out,
   * meanwhile others go on.
   */
  async step(act: Act | null, done: () => boolean): Promise<void> {
    this.#inHand ??= this.#work(act).finally(() => {
      this.#inHand = null
    })
    let over = false
    const ended = this.#inHand.then(() => {
      over = true
    })
    while (!over && !done()) await Promise.race([ended, wait(systemClock, LOOK_MS)])
  }

  override get settled(): boolean {
    return this.open === null && this.#inHand === null
  }

  async #work(act: Act | null): Promise<void> {
    try {
      if (this.open !== null) await this.#undo(this.open)
      else if (act !== null) await this.#buy()
    } catch {
      await wait(systemClock, UNREACHED_MS) // the line into the switch is not signed on
    }
  }

  close(): void {
    // its line belongs to the simulator
  }

  async #buy(): Promise<void> {
    const request = {
      card: this.pick(['own-7', 'own-8']), kind: this.pick(['purchase', 'cash'] as const),
      amountMinor: this.amountFor('own'), chip: true, withPin: true, wrongPin: false, badMac: false,
      atc: (this.#counter++ % 65_000) + 1,
    }
    const result = await this.#acquirer.originate(request)
    const right = result.macRight === true
    const item: Item = {
      where: 'cups', terminal: '87654321', stan: result.stan, rrn: result.rrn, card: request.card,
      amountMinor: request.amountMinor,
      belief: !right ? 'unknown' : result.code === '00' ? 'approved' : 'declined',
    }
    this.items.push(item)
    const { belief } = item
    const undo = belief === 'unknown' || (belief === 'approved' && this.random.below(5) === 0)
    if (!undo) return
    item.belief = 'unknown'
    this.open = item
  }

  async #undo(item: Item): Promise<void> {
    const results = await this.#acquirer.reverse(item.rrn, 1 + this.random.below(2))
    if (!results.some((one) => one.code === '00' && one.macRight === true)) return
    item.belief = 'reversed'
    this.open = null
  }
}

/** What a terminal makes of an answer; without a right MAC it knows nothing. */
function believed(result: OperationResult): Belief {
  if (result.code === '' || (result.code === '00' && result.macRight !== true)) return 'unknown'
  return result.code === '00' ? 'approved' : 'declined'
}

function atmFrame(message: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(message.length >> 8, message.length & 255), message])
}

/** All tills together, driven until somebody says stop. */
export class Floor {
  readonly tills: readonly Till[]
  readonly #random: Random
  readonly #renewKeys: () => void

  constructor(tills: readonly Till[], random: Random, renewKeys: () => void) {
    this.tills = tills
    this.#random = random
    this.#renewKeys = renewKeys
  }

  get items(): Item[] {
    return this.tills.flatMap((till) => till.items)
  }

  /** Every till works until `done`; preferred acts come more often than the others. */
  async trade(preferred: readonly Act[], done: () => boolean): Promise<void> {
    const work = async (till: Till): Promise<void> => {
      while (!done()) await till.step(this.#act(preferred), done)
    }
    await Promise.all(this.tills.map(work))
  }

  /** Every till clears up what it does not know; ends when all know, or when `done`. */
  async clearUp(done: () => boolean): Promise<void> {
    const work = async (till: Till): Promise<void> => {
      while (!till.settled && !done()) await till.step(null, done)
    }
    await Promise.all(this.tills.map(work))
  }

  close(): void {
    for (const till of this.tills) till.close()
  }

  #act(preferred: readonly Act[]): Act {
    const chosen = preferred.length > 0 && this.#random.below(10) < 7
    const from = chosen ? preferred : DICE
    const act = from[this.#random.below(from.length)]!
    if (act === 'renew_keys') this.#renewKeys()
    return act === 'renew_keys' ? 'own' : act
  }
}
