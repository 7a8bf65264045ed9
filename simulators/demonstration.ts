// The demonstration: every flow of the switch once, seen from outside. Terminals and schemes are
// the simulators; each row says what was done and whether the result is what it must be, judged by
// MACs, cryptograms, balances and the schemes' own books, never by the switch's database. Called by
// `npm start` and `switchyard simulate demonstration`. It can be run again on the same data.

import type { SwitchConfig } from '../config/schema.ts'
import { type Clock, systemClock, wait } from '../switch/runtime/clock.ts'
import { type Random, systemRandom } from '../switch/runtime/random.ts'
import { cardNamed } from './cards.ts'
import {
  type DemonstrationRow,
  type Finding,
  checks,
  chipFinding,
  found,
  money,
  rowLine,
  schemeFinding,
  signOnFinding,
} from './demonstration-rows.ts'
import type { OutsideToken } from './keys.ts'
import {
  type Outside,
  type SchemeName,
  atmTerminal,
  controlPath,
  posTerminal,
  statePath,
} from './run.ts'
import type { OriginateResult } from './scheme/cups-acquirer.ts'
import type { AtmTerminal } from './terminal/atm.ts'
import type { OperationResult } from './terminal/line.ts'
import type { PosTerminal } from './terminal/pos.ts'
import { TerminalState } from './terminal/state.ts'
import { askControl } from './transport.ts'

export { type DemonstrationRow, renderRows } from './demonstration-rows.ts'

export interface DemonstrationOptions {
  /** The data directory. */
  readonly home: string
  readonly config: SwitchConfig
  /** The outside token, opened by the caller, who closes it. */
  readonly token: OutsideToken
  /** Told each row as it comes. */
  readonly log: (line: string) => void
  readonly stop?: AbortSignal
  readonly clock?: Clock
  readonly random?: Random
}

const CONTROL_TIMEOUT_MS = 60_000 // longer than an answer to an originated request is waited for
const SCHEMES_READY_MS = 30_000 // sign-on and key exchange take well under a second
const REVERSAL_WAIT_MS = 60_000 // the first attempt leaves at once, a repeat after seconds
const POLL_MS = 200
const TERMINAL_WAIT_MS = 30_000 // terminal_wait_ms of the configuration's defaults

const AMOUNT = {
  ownPurchase: 2_500,
  visaPurchase: 4_200,
  visaTooMuch: 9_000,
  ownWithdrawal: 10_000,
  cupsWithdrawal: 20_000,
  cupsPurchase: 6_000,
  silent: 9_100,
  duplicate: 1_200,
  refused: 1_500,
} as const

/** Runs every flow in order. Never rejects for a flow that fails: its row says so. */
export async function runDemonstration(options: DemonstrationOptions): Promise<DemonstrationRow[]> {
  const run = new Demonstration(options)
  try {
    await run.flows()
  } finally {
    run.close()
  }
  return run.rows
}

class Demonstration {
  readonly rows: DemonstrationRow[] = []
  readonly #options: DemonstrationOptions
  readonly #clock: Clock
  readonly #pos: PosTerminal
  readonly #atm: AtmTerminal
  readonly #state: TerminalState

  constructor(options: DemonstrationOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    const random = options.random ?? systemRandom
    const outside: Outside = {
      home: options.home,
      config: options.config,
      token: options.token,
      clock: this.#clock,
      random,
      log: () => undefined,
    }
    this.#pos = posTerminal(outside)
    this.#atm = atmTerminal(outside)
    this.#state = new TerminalState(statePath(options.home), random)
  }

  close(): void {
    this.#pos.close()
    this.#atm.close()
  }

  async flows(): Promise<void> {
    await this.#schemeFlows()
    await this.#posFlows()
    await this.#visaFlows()
    await this.#atmFlows()
    await this.#acquiredFlows()
    await this.#timeoutFlows()
    await this.#refusals()
  }

  // ---- flows ---------------------------------------------------------------------------------

  async #posFlows(): Promise<void> {
    await this.#step('POS', 'switch', 'sign-on: working keys under the TMK', async () => {
      await this.#pos.connect()
      return signOnFinding(await this.#pos.signOn())
    })
    await this.#step(
      'POS',
      'own issuer',
      `chip purchase ${money(AMOUNT.ownPurchase)}, PIN, own-1`,
      async () =>
        chipFinding(
          await this.#pos.sale({
            card: cardNamed('own-1'),
            amountMinor: AMOUNT.ownPurchase,
            chip: true,
            withPin: true,
          }),
        ),
    )
  }

  async #visaFlows(): Promise<void> {
    await this.#step(
      'POS',
      'Visa',
      `purchase ${money(AMOUNT.visaPurchase)}, PIN, visa-1`,
      async () => {
        const before = await this.#totals('visa')
        const sale = await this.#stripeSale('visa-1', AMOUNT.visaPurchase)
        const moved = (await this.#totals('visa')).net - before.net
        const right = sale.code === '00' && sale.macRight === true
        return found(
          sale,
          right && moved === AMOUNT.visaPurchase,
          `Visa's book moved ${money(moved)}`,
        )
      },
    )
    await this.#step(
      'POS',
      'Visa',
      `purchase ${money(AMOUNT.visaTooMuch)}, too much for visa-2`,
      async () => {
        const sale = await this.#stripeSale('visa-2', AMOUNT.visaTooMuch)
        return found(sale, sale.code === '51', 'declined for funds by the issuer')
      },
    )
  }

  async #atmFlows(): Promise<void> {
    await this.#step('ATM', 'switch', 'sign-on: working keys under the TMK', async () => {
      await this.#atm.connect()
      return signOnFinding(await this.#atm.signOn())
    })
    const own = { card: cardNamed('own-2'), amountMinor: 0, chip: true }
    const cups = { card: cardNamed('cups-1'), amountMinor: 0, chip: false }
    let before: number | null = null
    await this.#step('ATM', 'own issuer', 'balance, own-2', async () => {
      const balance = await this.#atm.balance(own)
      before = balance.balanceMinor
      return found(balance, balance.code === '00' && before !== null, '')
    })
    await this.#step(
      'ATM',
      'own issuer',
      `withdrawal ${money(AMOUNT.ownWithdrawal)}, own-2`,
      async () =>
        chipFinding(await this.#atm.withdrawal({ ...own, amountMinor: AMOUNT.ownWithdrawal })),
    )
    await this.#step('ATM', 'own issuer', 'balance, own-2', async () => {
      const balance = await this.#atm.balance(own)
      const moved =
        before === null || balance.balanceMinor === null ? null : before - balance.balanceMinor
      return found(balance, moved === AMOUNT.ownWithdrawal, `less by ${money(moved ?? 0)}`)
    })
    await this.#step(
      'ATM',
      'CUPS',
      `withdrawal ${money(AMOUNT.cupsWithdrawal)}, cups-1`,
      async () => {
        const earlier = await this.#totals('cups')
        const cash = await this.#atm.withdrawal({ ...cups, amountMinor: AMOUNT.cupsWithdrawal })
        const moved = (await this.#totals('cups')).net - earlier.net
        const right = cash.code === '00' && cash.macRight === true
        return found(
          cash,
          right && moved === AMOUNT.cupsWithdrawal,
          `CUPS' book moved ${money(moved)}`,
        )
      },
    )
    await this.#step('ATM', 'CUPS', 'balance, cups-1', async () => {
      const balance = await this.#atm.balance(cups)
      return found(balance, balance.code === '00' && balance.balanceMinor !== null, '')
    })
  }

  async #acquiredFlows(): Promise<void> {
    const card = { card: cardNamed('own-4'), amountMinor: 0, chip: true }
    let rrn = ''
    let before: number | null = null
    await this.#step(
      'CUPS',
      'own issuer',
      `purchase ${money(AMOUNT.cupsPurchase)} at another bank, own-4`,
      async () => {
        before = (await this.#atm.balance(card)).balanceMinor
        const answer = await this.#originate('own-4', AMOUNT.cupsPurchase)
        rrn = answer.rrn
        const after = (await this.#atm.balance(card)).balanceMinor
        const moved = before === null || after === null ? null : before - after
        const right =
          answer.code === '00' && answer.macRight === true && answer.issuerGenuine === true
        return {
          result: answer.code || 'none',
          rrn,
          ms: answer.ms,
          ok: right && moved === AMOUNT.cupsPurchase,
          note: checks(answer),
        }
      },
    )
    await this.#step('CUPS', 'own issuer', 'its reversal, sent three times', async () => {
      const answer = await this.#ask('cups', { do: 'reverse', rrn, times: 3 })
      const results = answer['results'] as readonly OriginateResult[]
      const after = (await this.#atm.balance(card)).balanceMinor
      const accepted = results.every((one) => one.code === '00' && one.macRight === true)
      const once = after !== null && after === before
      return {
        result: results.map((one) => one.code || 'none').join(' '),
        rrn,
        ms: results[0]?.ms ?? 0,
        ok: accepted && results.length === 3 && once,
        note: once ? 'reversed once' : 'the balance is not what it was before the purchase',
      }
    })
  }

  async #timeoutFlows(): Promise<void> {
    let before: Totals = { net: 0, reversed: 0 }
    await this.#step(
      'POS',
      'Visa',
      `purchase ${money(AMOUNT.silent)}, Visa stays silent, visa-3`,
      async () => {
        before = await this.#totals('visa')
        await this.#ask('visa', {
          do: 'rule',
          rule: `amount=${AMOUNT.silent},mti=0100,times=1:silent`,
        })
        const sale = await this.#stripeSale('visa-3', AMOUNT.silent)
        const inTime = sale.code !== '' && sale.code !== '00' && sale.ms < TERMINAL_WAIT_MS
        return found(sale, inTime, inTime ? 'the terminal was told in time' : '')
      },
    )
    await this.#step('switch', 'Visa', 'the reversal of it', async () => {
      const began = this.#clock.monotonicMs()
      const reversed = await this.#until(
        REVERSAL_WAIT_MS,
        async () => (await this.#totals('visa')).reversed > before.reversed,
      )
      const after = await this.#totals('visa')
      const ms = Math.round(this.#clock.monotonicMs() - began)
      const note = reversed ? "acknowledged; Visa's book is as before" : 'no reversal came'
      return {
        result: reversed ? '00' : 'none',
        ms,
        ok: reversed && after.net === before.net,
        note,
      }
    })
  }

  async #refusals(): Promise<void> {
    const own = { card: cardNamed('own-1'), chip: true, withPin: true }
    await this.#step(
      'POS',
      'own issuer',
      `purchase ${money(AMOUNT.duplicate)} sent twice, own-1`,
      async () => {
        const before = (await this.#pos.balance({ ...own, amountMinor: 0 })).balanceMinor
        const first = await this.#pos.sale({ ...own, amountMinor: AMOUNT.duplicate })
        const second = await this.#pos.repeat()
        const after = (await this.#pos.balance({ ...own, amountMinor: 0 })).balanceMinor
        const same =
          first.code === '00' &&
          first.code === second.code &&
          first.rrn === second.rrn &&
          first.authorisation === second.authorisation
        const once = before !== null && after !== null && before - after === AMOUNT.duplicate
        const answers = same ? 'same answer' : 'other answer'
        const note = `${answers}, ${once ? '' : 'not '}posted once`
        return { ...found(first, same && once, note), result: `${first.code} ${second.code}` }
      },
    )
    await this.#step(
      'POS',
      'own issuer',
      `purchase ${money(AMOUNT.refused)}, wrong PIN, own-3`,
      async () => {
        const third = { ...own, card: cardNamed('own-3') }
        const wrong = await this.#pos.sale({
          ...third,
          amountMinor: AMOUNT.refused,
          wrongPin: true,
        })
        const right = await this.#pos.balance({ ...third, amountMinor: 0 }) // gives the tries back
        const ok = wrong.code === '55' && right.code === '00'
        return found(wrong, ok, `with the right PIN: ${right.code || 'none'}`)
      },
    )
    await this.#step(
      'POS',
      'switch',
      `purchase ${money(AMOUNT.refused)}, bad MAC, own-1`,
      async () => {
        const before = (await this.#pos.balance({ ...own, amountMinor: 0 })).balanceMinor
        const bad = await this.#pos.sale({ ...own, amountMinor: AMOUNT.refused, badMac: true })
        const after = (await this.#pos.balance({ ...own, amountMinor: 0 })).balanceMinor
        const untouched = before !== null && before === after
        return found(
          bad,
          bad.code === 'A0' && untouched,
          untouched ? 'nothing was posted' : 'the balance changed',
        )
      },
    )
  }

  // ---- steps ---------------------------------------------------------------------------------

  async #step(from: string, to: string, what: string, act: () => Promise<Finding>): Promise<void> {
    if (this.#options.stop?.aborted === true) return
    const began = this.#clock.monotonicMs()
    let finding: Finding
    try {
      finding = await act()
    } catch (error) {
      finding = {
        result: 'failed',
        ok: false,
        note: error instanceof Error ? error.message : 'failed',
      }
    }
    const row: DemonstrationRow = {
      step: this.rows.length + 1,
      from,
      to,
      what,
      result: finding.result,
      rrn: finding.rrn ?? '',
      ms: finding.ms ?? Math.round(this.#clock.monotonicMs() - began),
      ok: finding.ok,
      note: finding.note ?? '',
    }
    this.rows.push(row)
    this.#options.log(rowLine(row))
  }

  #stripeSale(card: string, amountMinor: number): Promise<OperationResult> {
    return this.#pos.sale({ card: cardNamed(card), amountMinor, chip: false, withPin: true })
  }

  async #originate(card: string, amountMinor: number): Promise<OriginateResult> {
    const answer: unknown = await this.#ask('cups', {
      do: 'originate',
      kind: 'purchase',
      card,
      amountMinor,
      chip: true,
      withPin: true,
      atc: this.#state.nextAtc(card),
    })
    return answer as OriginateResult
  }

  /** Both schemes: sign-on and key exchange happened when the switch started, or happen soon. */
  async #schemeFlows(): Promise<void> {
    await this.#step('switch', 'Visa', 'sign-on 071, then a zone PIN key (101)', async () => {
      const status = await this.#statusWhen('visa', (one) => one['keyInForce'] === true)
      return schemeFinding(
        status['keyInForce'] === true,
        `check value ${String(status['checkValue'])}`,
      )
    })
    await this.#step(
      'switch',
      'CUPS',
      'sign-on 001 both ways, then PIK and MAK (101)',
      async () => {
        const ready = (one: Status): boolean =>
          one['ownLineReady'] === true && one['macCheck'] !== ''
        const status = await this.#statusWhen('cups', ready)
        const { pinCheck, macCheck } = status
        return schemeFinding(ready(status), `check values ${String(pinCheck)}, ${String(macCheck)}`)
      },
    )
  }

  /** The scheme's status once it fulfils a condition, or what it was when waiting was over. */
  async #statusWhen(name: SchemeName, holds: (status: Status) => boolean): Promise<Status> {
    let status: Status = {}
    await this.#until(SCHEMES_READY_MS, async () => {
      status = await this.#ask(name, { do: 'status' }).catch(() => ({}))
      return holds(status)
    })
    return status
  }

  async #until(timeoutMs: number, holds: () => Promise<boolean>): Promise<boolean> {
    const deadline = this.#clock.monotonicMs() + timeoutMs
    while (this.#options.stop?.aborted !== true) {
      if (await holds()) return true
      if (this.#clock.monotonicMs() >= deadline) return false
      await wait(this.#clock, POLL_MS)
    }
    return false
  }

  async #ask(name: SchemeName, command: object): Promise<Record<string, unknown>> {
    const path = controlPath(this.#options.home, name)
    const text = await askControl(path, JSON.stringify(command), this.#clock, CONTROL_TIMEOUT_MS)
    const answer = JSON.parse(text) as Record<string, unknown>
    if (typeof answer['error'] === 'string')
      throw new Error(`${name} simulator: ${answer['error']}`)
    return answer
  }

  async #totals(name: SchemeName): Promise<Totals> {
    const answer = await this.#ask(name, { do: 'totals' })
    return { net: Number(answer['net_minor']), reversed: Number(answer['reversed']) }
  }
}

/** Answer to the command `status`; see control.ts. */
type Status = Readonly<Record<string, unknown>>

/** A scheme's book: net debits in minor units, number of reversed originals. */
interface Totals {
  readonly net: number
  readonly reversed: number
}
