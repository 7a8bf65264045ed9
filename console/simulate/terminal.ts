// `switchyard simulate pos|atm`: one terminal, the operations that were named, and a table of what
// came back. Signs on by itself when that was not asked for, because keys are not kept.
import { resolve } from 'node:path'
import { BookFile } from '../../simulators/book.ts'
import { type SyntheticCard, cardNamed } from '../../simulators/cards.ts'
import { money } from '../../simulators/demonstration-rows.ts'
import { KEY_LABEL, bookSecret } from '../../simulators/keys.ts'
import {
  type Outside,
  type TerminalChoice,
  atmTerminal,
  posTerminal,
} from '../../simulators/run.ts'
import type { OperationResult } from '../../simulators/terminal/line.ts'
import { CommandFailed, EXIT, WrongUsage } from '../help.ts'
import { openOutside } from './outside.ts'

interface TerminalOptions {
  config?: string
  do: string
  card: string
  amount: number
  terminal?: string
  connect?: { host: string; port: number }
  timeoutMs?: number
  book?: string
  stripe?: boolean
  pin: boolean
  wrongPin?: boolean
  badMac?: boolean
  json?: boolean
}

/** What both terminals offer to this command. */
interface Operations {
  connect(): Promise<void>
  close(): void
  run(operation: string): Promise<OperationResult> | null
}

const OPERATIONS_MAX = 1_000

/** Runs operations of a terminal and prints them. Exit 1 when one was not answered. */
export async function simulateTerminal(
  name: 'pos' | 'atm',
  options: TerminalOptions,
): Promise<void> {
  const wanted = options.do
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')
  if (wanted.length === 0 || wanted.length > OPERATIONS_MAX)
    throw new WrongUsage('--do names operations')
  const card = cardOf(options.card)
  const outside = openOutside(options.config, () => undefined)
  const book = options.book === undefined ? null : bookOf(resolve(options.book), name, outside)
  const choice: TerminalChoice = {
    terminal: options.terminal,
    address: options.connect,
    answerTimeoutMs: options.timeoutMs,
    book,
  }
  const terminal =
    name === 'pos' ? pos(outside, choice, card, options) : atm(outside, choice, card, options)
  try {
    const results = await runAll(
      terminal,
      wanted[0] === 'sign-on' ? wanted : ['sign-on', ...wanted],
    )
    process.stdout.write(
      options.json === true ? `${JSON.stringify(results)}\n` : `${table(results)}\n`,
    )
    if (results.some((one) => one.code === '')) process.exitCode = EXIT.failed
  } catch (error) {
    if (error instanceof WrongUsage) throw error
    throw new CommandFailed(
      error instanceof Error ? error.message : 'failed',
      'is npm start running?',
    )
  } finally {
    terminal.close()
    book?.close()
    await outside.token.close()
  }
}

function cardOf(name: string): SyntheticCard {
  try {
    return cardNamed(name)
  } catch (error) {
    throw new WrongUsage(error instanceof Error ? error.message : 'no such card')
  }
}

function bookOf(path: string, name: string, outside: Outside): BookFile {
  const secret = bookSecret(outside.token.cipher(KEY_LABEL.cupsExchange))
  return new BookFile(path, name, secret, outside.clock)
}

async function runAll(terminal: Operations, wanted: readonly string[]): Promise<OperationResult[]> {
  await terminal.connect()
  const results: OperationResult[] = []
  for (const operation of wanted) {
    const running = terminal.run(operation)
    if (running === null) throw new WrongUsage(`no operation '${operation}'`)
    results.push(await running)
  }
  return results
}

function pos(
  outside: Outside,
  choice: TerminalChoice,
  card: SyntheticCard,
  options: TerminalOptions,
): Operations {
  const terminal = posTerminal(outside, choice)
  const request = {
    card,
    amountMinor: options.amount,
    chip: card.chip && options.stripe !== true,
    withPin: options.pin,
    wrongPin: options.wrongPin === true,
    badMac: options.badMac === true,
  }
  return {
    connect: () => terminal.connect(),
    close: () => terminal.close(),
    run: (operation) => {
      switch (operation) {
        case 'sign-on':
          return terminal.signOn()
        case 'sale':
          return terminal.sale(request)
        case 'balance':
          return terminal.balance(request)
        case 'repeat':
          return terminal.repeat()
        case 'reversal':
          return terminal.reversal('other')
        default:
          return null
      }
    },
  }
}

function atm(
  outside: Outside,
  choice: TerminalChoice,
  card: SyntheticCard,
  options: TerminalOptions,
): Operations {
  const terminal = atmTerminal(outside, choice)
  const request = {
    card,
    amountMinor: options.amount,
    chip: card.chip && options.stripe !== true,
    wrongPin: options.wrongPin === true,
    badMac: options.badMac === true,
  }
  return {
    connect: () => terminal.connect(),
    close: () => terminal.close(),
    run: (operation) => {
      switch (operation) {
        case 'sign-on':
          return terminal.signOn()
        case 'withdrawal':
          return terminal.withdrawal(request)
        case 'balance':
          return terminal.balance(request)
        case 'repeat':
          return terminal.repeat()
        case 'reversal':
          return terminal.reversal('06')
        default:
          return null
      }
    },
  }
}

function table(results: readonly OperationResult[]): string {
  const word = (value: boolean | null): string => (value === null ? '-' : value ? 'right' : 'WRONG')
  const rows = results.map((one) => [
    one.operation,
    one.card,
    one.code || 'none',
    one.amountMinor === 0 ? '' : money(one.amountMinor),
    one.balanceMinor === null ? '' : money(one.balanceMinor),
    one.rrn,
    one.authorisation,
    word(one.macRight),
    word(one.issuerGenuine),
    String(one.ms),
    one.note,
  ])
  const lines = [
    ['operation', 'card', 'code', 'amount', 'balance', 'RRN', 'auth', 'MAC', 'ARPC', 'ms', 'note'],
    ...rows,
  ]
  const widths = lines[0]!.map((_, column) =>
    Math.max(...lines.map((line) => line[column]!.length)),
  )
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
