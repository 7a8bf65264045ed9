// Starts simulators from a configuration: which port, which terminal, which key belongs to which.
// Called by `switchyard simulate`, the demonstration and tests. It wires only simulators: the
// switch itself is started elsewhere and reached over its sockets.

import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { SchemeLinkConfig, SwitchConfig, TerminalConfig } from '../config/schema.ts'
import type { Clock } from '../switch/runtime/clock.ts'
import type { Random } from '../switch/runtime/random.ts'
import { BookFile, IssuerBook } from './book.ts'
import { ControlDesk } from './control.ts'
import type { FaultRules } from './faults.ts'
import { KEY_LABEL, type OutsideToken, bookSecret } from './keys.ts'
import { CupsAcquirer } from './scheme/cups-acquirer.ts'
import { CupsSimulator } from './scheme/cups.ts'
import type { SimulatorLog } from './scheme/log.ts'
import { VisaSimulator } from './scheme/visa.ts'
import { AtmTerminal } from './terminal/atm.ts'
import { PosTerminal } from './terminal/pos.ts'
import { TerminalState } from './terminal/state.ts'
import { type Address, listenForControl } from './transport.ts'

/** The world outside the switch. */
export interface Outside {
  /** The data directory. */
  readonly home: string
  readonly config: SwitchConfig
  readonly token: OutsideToken
  readonly clock: Clock
  readonly random: Random
  readonly log: SimulatorLog
}

export interface SchemeSettings {
  readonly rules: FaultRules
  /** JSON-lines file of the book; null for memory only. */
  readonly bookPath: string | null
  /** Instead of the configured addresses. */
  readonly listen?: Address | undefined
  readonly dial?: Address | undefined
}

/** A scheme simulator that runs. */
export interface RunningScheme {
  readonly port: number
  readonly desk: ControlDesk
  stop(): Promise<void>
}

export type SchemeName = 'cups' | 'visa'

const SOCKET_PATH_MAX = 100 // sun_path holds 108 bytes with its end

/** Where a scheme simulator's book lies when nothing else is said. */
export function bookPath(home: string, name: string): string {
  return join(home, 'simulators', `${name}.book.jsonl`)
}

/** Where terminals and cards keep their counters. */
export function statePath(home: string): string {
  return join(home, 'simulators', 'state.json')
}

/** Control socket of a scheme simulator; a short path elsewhere when the home's is too long. */
export function controlPath(home: string, name: string): string {
  const near = join(home, 'simulators', `${name}.sock`)
  if (Buffer.byteLength(near) <= SOCKET_PATH_MAX) return near
  const mark = createHash('sha256').update(near).digest('hex').slice(0, 16)
  return join(tmpdir(), `switchyard-${mark}-${name}.sock`)
}

/** The scheme link of that dialect. @throws Error when the configuration has none */
function schemeLink(config: SwitchConfig, dialect: string): SchemeLinkConfig {
  for (const link of config.links) {
    if (link.role === 'scheme' && link.dialect === dialect) return link
  }
  throw new Error(`the configuration has no scheme link of dialect ${dialect}`)
}

function demandAddress(address: Address | null, link: string, what: string): Address {
  if (address === null) throw new Error(`link ${link} of the configuration has no ${what}`)
  return address
}

/** Starts a scheme simulator with its book and its control socket. */
export async function runScheme(
  name: SchemeName,
  outside: Outside,
  settings: SchemeSettings,
): Promise<RunningScheme> {
  const { home, token, clock } = outside
  const label = name === 'cups' ? KEY_LABEL.cupsExchange : KEY_LABEL.visaExchange
  const file = new BookFile(settings.bookPath, name, bookSecret(token.cipher(label)), clock)
  const book = new IssuerBook(file)
  const started =
    name === 'cups'
      ? await startCups(outside, settings, book)
      : await startVisa(outside, settings, book)
  const { desk } = started
  const control = await listenForControl(controlPath(home, name), (line) => desk.handle(line))
  return {
    port: started.port,
    desk,
    async stop(): Promise<void> {
      await control.close()
      await started.stop()
      file.close()
    },
  }
}

async function startCups(
  outside: Outside,
  settings: SchemeSettings,
  book: IssuerBook,
): Promise<RunningScheme> {
  const { config, token, clock, random, log } = outside
  const link = schemeLink(config, 'cups')
  const memberId = link.institution ?? config.institution
  const simulator = new CupsSimulator({
    listen: settings.listen ?? demandAddress(link.connect, link.name, 'connect'),
    dial: settings.dial ?? link.listen,
    token,
    clock,
    random,
    book,
    log,
    rules: settings.rules,
    ownId: link.peer_institution,
    memberId,
  })
  const acquirer = new CupsAcquirer({ simulator, token, clock, random, book, memberId })
  const port = await simulator.start()
  const desk = new ControlDesk({
    name: 'cups',
    book,
    rules: settings.rules,
    status: () => simulator.status(),
    renewKeys: () => simulator.renewKeys(),
    acquirer,
  })
  return { port, desk, stop: () => simulator.stop() }
}

async function startVisa(
  outside: Outside,
  settings: SchemeSettings,
  book: IssuerBook,
): Promise<RunningScheme> {
  const { config, token, clock, random, log } = outside
  const link = schemeLink(config, 'visa')
  const simulator = new VisaSimulator({
    listen: settings.listen ?? demandAddress(link.connect, link.name, 'connect'),
    token,
    clock,
    random,
    book,
    log,
    rules: settings.rules,
  })
  const port = await simulator.start()
  const desk = new ControlDesk({
    name: 'visa',
    book,
    rules: settings.rules,
    status: () => simulator.status(),
    renewKeys: () => simulator.renewKeys(),
    acquirer: null,
  })
  return { port, desk, stop: () => simulator.stop() }
}

/** What to say about a terminal when the configuration's first one is not meant. */
export interface TerminalChoice {
  readonly terminal?: string | undefined
  readonly address?: Address | undefined
  readonly answerTimeoutMs?: number | undefined
  readonly book?: BookFile | null
}

/** The configured terminal of that id, or the first one on a link of that dialect. */
function terminalOf(
  config: SwitchConfig,
  dialect: string,
  id: string | undefined,
): { terminal: TerminalConfig; address: Address } {
  for (const terminal of config.terminals) {
    if (id !== undefined && terminal.id !== id) continue
    const link = config.links.find((one) => one.name === terminal.link)
    if (link === undefined || link.role !== 'terminals' || link.dialect !== dialect) continue
    return { terminal, address: link.listen }
  }
  const known = config.terminals.map((terminal) => terminal.id).join(', ')
  const wanted = id === undefined ? '' : ` ${id}`
  throw new Error(`the configuration has no ${dialect} terminal${wanted}; it has ${known}`)
}

function terminalParts(outside: Outside, dialect: string, choice: TerminalChoice) {
  const { config, token, clock, random, home } = outside
  const { terminal, address } = terminalOf(config, dialect, choice.terminal)
  return {
    address: choice.address ?? address,
    terminal: terminal.id,
    merchant: terminal.merchant,
    token,
    clock,
    random,
    state: new TerminalState(statePath(home), random),
    book: choice.book ?? null,
    ...(choice.answerTimeoutMs === undefined ? {} : { answerTimeoutMs: choice.answerTimeoutMs }),
  }
}

/** A POS terminal of the configuration, not yet connected. */
export function posTerminal(outside: Outside, choice: TerminalChoice = {}): PosTerminal {
  return new PosTerminal(terminalParts(outside, 'cups-pos', choice))
}

/** An ATM of the configuration, not yet connected. */
export function atmTerminal(outside: Outside, choice: TerminalChoice = {}): AtmTerminal {
  return new AtmTerminal(terminalParts(outside, 'iso87-ascii', choice))
}
