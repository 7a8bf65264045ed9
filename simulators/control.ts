// The desk of a running scheme simulator: commands that look at it and change it while it runs.
// They come as one JSON object per line over the control socket, or as words on standard input.
// Answers are one JSON object. Nothing here shows more of a card than its mask.

import type { IssuerBook } from './book.ts'
import { type FaultRules, parseRule } from './faults.ts'
import type { CupsAcquirer, OriginateRequest } from './scheme/cups-acquirer.ts'

/** What a desk can reach. */
export interface DeskParts {
  readonly name: string
  readonly book: IssuerBook
  readonly rules: FaultRules
  status(): Readonly<Record<string, string | number | boolean>>
  /** Sends fresh working keys; false when no member is signed on. */
  renewKeys(): boolean
  readonly acquirer: CupsAcquirer | null
}

type Command = Readonly<Record<string, unknown>>

const REVERSALS_MAX = 20 // of one command

export class ControlDesk {
  readonly #parts: DeskParts

  constructor(parts: DeskParts) {
    this.#parts = parts
  }

  /** Carries out one line; the answer is JSON, with `error` when it was refused. */
  async handle(line: string): Promise<string> {
    try {
      return JSON.stringify(await this.#carryOut(commandOf(line)))
    } catch (error) {
      return JSON.stringify({ error: error instanceof Error ? error.message : 'failed' })
    }
  }

  async #carryOut(command: Command): Promise<object> {
    const { name, book, rules } = this.#parts
    switch (command['do']) {
      case 'status':
        return { name, ...this.#parts.status() }
      case 'rule':
        rules.add(parseRule(textOf(command, 'rule')))
        return { rules: rules.list() }
      case 'clear':
        rules.replace([])
        return { rules: [] }
      case 'list':
        return { rules: rules.list() }
      case 'totals':
        return totalsOf(book)
      case 'find':
        return { state: book.stateOfRrn(textOf(command, 'rrn')) }
      case 'renew-keys':
        return { renewed: this.#parts.renewKeys() }
      case 'originate':
        return this.#acquirer().originate(originateOf(command))
      case 'reverse':
        return { results: await this.#acquirer().reverse(textOf(command, 'rrn'), timesOf(command)) }
      default:
        throw new Error(
          'unknown command; known: status rule clear list totals find renew-keys originate reverse',
        )
    }
  }

  #acquirer(): CupsAcquirer {
    const { acquirer, name } = this.#parts
    if (acquirer === null) throw new Error(`the ${name} simulator does not begin transactions`)
    return acquirer
  }
}

/** A line as a command: JSON, or words such as `rule amount=9100:silent`. */
function commandOf(line: string): Command {
  const text = line.trim()
  if (text.startsWith('{')) {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as Command
  }
  const [word = '', ...rest] = text.split(/\s+/)
  if (word === 'find') return { do: word, rrn: rest.join('') }
  return { do: word, rule: rest.join(' ') }
}

function textOf(command: Command, name: string): string {
  const value = command[name]
  if (typeof value === 'string' && value !== '') return value
  throw new Error(`the command needs ${name}`)
}

function timesOf(command: Command): number {
  const times = command['times'] ?? 1
  if (typeof times === 'number' && Number.isInteger(times) && times >= 1 && times <= REVERSALS_MAX)
    return times
  throw new Error(`times is a whole number from 1 to ${REVERSALS_MAX}`)
}

function originateOf(command: Command): OriginateRequest {
  const kind = command['kind'] ?? 'purchase'
  if (kind !== 'purchase' && kind !== 'cash' && kind !== 'balance') throw new Error('no such kind')
  const number = (name: string, max: number): number => {
    const value = command[name] ?? 0
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max)
      return value
    throw new Error(`${name} is a whole number up to ${max}`)
  }
  const flag = (name: string): boolean => command[name] === true
  return {
    card: textOf(command, 'card'),
    kind,
    amountMinor: number('amountMinor', 999_999_999_999),
    chip: flag('chip'),
    withPin: flag('withPin'),
    wrongPin: flag('wrongPin'),
    badMac: flag('badMac'),
    atc: number('atc', 65_535),
  }
}

function totalsOf(book: IssuerBook): object {
  const totals = book.totals()
  return {
    approved: totals.approved,
    approved_minor: totals.approvedMinor.toString(),
    declined: totals.declined,
    reversed: totals.reversed,
    reversed_minor: totals.reversedMinor.toString(),
    net_minor: totals.netMinor.toString(),
  }
}
