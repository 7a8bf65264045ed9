/**
 * What the pipeline works with: ports, links, tables and settings, wired once by main.ts.
 *
 * Steps take it as their second argument and reach the outside through nothing else.
 */

import type { Hsm, PinBlockFormat } from '../../hsm/port.ts'
import type { Journal } from '../journal/port.ts'
import type { Link } from '../link/contract.ts'
import type { PanVault } from '../pan-vault.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type { Routes } from '../../routing/choose.ts'
import type { KeyOverlap } from './key-overlap.ts'
import type { Numbers } from './numbers.ts'
import type { Calendar } from './calendar.ts'
import type { Txn } from './txn.ts'
import type { Reason } from '../reasons.ts'

/** A registered terminal: one that is not listed is refused. */
export interface Terminal {
  id: string
  merchant: string
  link: string
  key: string // name of its master key (TMK) in the token
  mcc: string
  name: string
}

/** Our own card ranges and the keys that verify them. */
export interface Issuer {
  currency: string
  pvk: string
  cvk: string
  imkAc: string
  cryptogramScheme: 'unionpay_cvn01' | 'visa_cvn10' | 'visa_cvn18'
}

/** What the pipeline must know of a link beyond its transport. */
export interface LinkProfile {
  institution: string
  pinKey: string // zone PIN key, or empty for terminal links (each terminal has its own)
  macKey: string // zone MAC key, or empty when the link carries no MAC
  pinFormat: PinBlockFormat
  macRequired: boolean
  keyExchangeKey: string // the KEK under which the peer sends working keys, or empty
  replyTimeoutMs: number // of a scheme link
  terminalWaitMs: number // of a terminal link: when its terminals give up
  mayReach: readonly string[] // routes its requests may take
}

/** Called when a transaction has ended, with its answer sent or stored. */
export interface Observer {
  completed(txn: Txn, durationMs: number): void
  lateAnswer(link: string, owner: string, responseCode: string): void
  unmatchedAnswer(link: string, nearOwner: string, field: number): void
  /** A reversal named a transaction that is not known; its key is remembered. */
  reversalUnseen(link: string, txn: string): void
  /** A reversal has the key of a transaction but another card or amount; nothing was undone. */
  reversalMismatched(link: string, txn: string): void
  undelivered(link: string, txn: string): void
  unmappedCode(link: string, code: string): void
  reversalQueued(route: string, txn: string, cause: string): void
  safAttempted(
    route: string,
    txn: string,
    outcome: 'acknowledged' | 'refused' | 'timed_out' | 'not_sent' | 'parked',
    attempt: number,
    responseCode: string,
  ): void
  rejected(link: string): void
  failed(where: string, error: unknown): void
}

export interface Context {
  clock: Clock
  random: Random
  journal: Journal
  hsm: Hsm
  vault: PanVault
  numbers: Numbers
  calendar: Calendar
  routes: Routes
  links: ReadonlyMap<string, Link>
  profiles: ReadonlyMap<string, LinkProfile>
  terminals: ReadonlyMap<string, Terminal> // by link name and terminal id, see terminalKey
  issuerOf(pan: string): Issuer | null
  overlap: KeyOverlap
  observer: Observer
  /** Working keys that became known while running: kept in force by name. */
  keepKey(name: string, block: string, kcv: Uint8Array, usage: string): Promise<void>
  /** Tells store-and-forward that something was queued for a destination. */
  wakeSaf(destination: string): void
  /** Outcomes the database did not take; settled later. */
  unsettled(txn: Txn): void
  /** True while the outcome of a request with this key waits to be settled. */
  isUnsettled(businessKey: string): boolean
}

/** Steps say what comes next: the next step, the answer, or nothing at all. */
export type Next = 'next' | 'answer' | 'drop'

/** One act of a flow. It knows no neighbours; it names its reason through `txn.refuse`. */
export type Step = (txn: Txn, context: Context) => Next | Promise<Next>

/** Refuses with a reason and goes to the answer. */
export function refuse(txn: Txn, reason: Reason): Next {
  txn.refuse(reason)
  txn.answerIcc = null // an ARPC says the code it was made for; a refusal has none or its own
  return 'answer'
}

/** Key of the terminal table: terminal ids are unique per link only. */
export function terminalKey(link: string, terminalId: string): string {
  return `${link}/${terminalId}`
}

/** Name of a working key in force. */
export const keyNames = {
  terminalPin: (terminal: Terminal): string => `terminal.${terminal.link}.${terminal.id}.pin`,
  terminalMac: (terminal: Terminal): string => `terminal.${terminal.link}.${terminal.id}.mac`,
  zonePin: (link: string): string => `zone.${link}.pin`,
  zoneMac: (link: string): string => `zone.${link}.mac`,
} as const
