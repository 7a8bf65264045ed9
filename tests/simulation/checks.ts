/**
 * What must be true of every run: some of it at each look, the rest when everything is at rest.
 * Each check compares what the switch holds with what somebody else wrote down, or with a rule of
 * docs/reliability-simulation.md. A check must never use the pipeline's own opinion.
 */
import { TRANSACTIONS_IN_FLIGHT_MAX, UNSETTLED_MAX } from '../../switch/limits.ts'
import type { StoredTxn } from '../../switch/journal/memory-store.ts'
import type { Scheme } from './scheme.ts'
import type { World } from './world.ts'

/** Bounds, looked at every simulated second. */
export function checkNow(world: World): void {
  const { process } = world
  const wired = process?.wired
  if (process === null || wired == null) return
  const bounded = (what: string, count: number, max: number): void => {
    if (count > max) world.violate('bound', `${what}: ${count} of ${max}`)
  }
  bounded('in flight', wired.pipeline.inFlight(), TRANSACTIONS_IN_FLIGHT_MAX)
  bounded('unsettled', wired.unsettled.count(), UNSETTLED_MAX)
  bounded('journal', process.journal.waiting, 8_192)
  for (const link of wired.links.values()) {
    bounded(`pending of ${link.settings.name}`, link.pendingCount(), link.settings.pendingMax)
  }
}

/** Everything that must hold when the world is at rest. */
export function checkAtEnd(world: World): void {
  for (const problem of world.store.imbalance()) world.violate('imbalance', problem)
  if (world.violations.length > 0) return // what is not at rest cannot agree
  for (const row of world.store.txns.values()) checkRow(world, row)
  for (const scheme of [world.visa, world.cups]) checkBook(world, scheme)
  for (const terminal of world.terminals) {
    for (const sale of terminal.sales) checkOriginated(world, sale)
  }
  for (const one of world.cups.brought) checkOriginated(world, one)
  for (const [key, { amountMinor, own }] of world.approvals) {
    const row = world.store.byKey.get(key)
    if (own || row === undefined) continue
    const undone = row.image.state === 'reversed' && !askedFor(world, key)
    if (undone) world.violate('approval_undone', `${key} ${amountMinor}`)
  }
  for (const [owner, state] of world.lateOwners) {
    const now = world.store.txns.get(owner)?.image.state
    const reversedMeanwhile = state === 'approved' && now === 'reversed'
    if (now !== state && !reversedMeanwhile && state !== 'intent') {
      world.violate('late_answer_changed', `${owner}: ${state} became ${now}`)
    }
  }
  for (const saf of world.store.safs) {
    if (saf.state !== 'acknowledged') world.violate('saf_left', `${saf.txnId} is ${saf.state}`)
  }
}

/** The originator itself asked for the reversal of this key. */
function askedFor(world: World, key: string): boolean {
  const sale = world.terminals.flatMap((one) => one.sales).find((one) => one.key === key)
  const brought = world.cups.brought.find((one) => one.key === key)
  return (sale ?? brought)?.wantReversal === true
}

/** What a transaction moved in the end, minor units. */
export function netOf(world: World, row: StoredTxn | undefined): number {
  if (row === undefined) return 0
  let net = 0
  for (const posting of world.store.postingsByTxn.get(row.image.id) ?? []) {
    net += posting.reverses === null ? posting.amountMinor : -posting.amountMinor
  }
  return net
}

const DAY_MS = 86_400_000
const LOCAL_MS = 8 * 3_600_000 // UTC+8
const LEAD_MS = 3_600_000 // cut-over at 23:00

function checkRow(world: World, row: StoredTxn): void {
  const { image, facts } = row
  if (image.state === 'intent') world.violate('intent_left', image.businessKey)
  if (image.reverseOf !== null || image.state === 'reversed_unseen') return
  const dateAt = (ms: number): string => {
    return new Date(Math.floor((ms + LOCAL_MS + LEAD_MS) / DAY_MS) * DAY_MS).toISOString()
      .slice(0, 10)
  }
  // The date is taken a little after receipt, when the sender is known.
  const dates = [dateAt(facts.receivedAt), dateAt(facts.receivedAt + 3_000)]
  const stepped = world.options.faults.some((fault) => fault.kind === 'clock_step')
  if (!dates.includes(facts.businessDate) && !stepped) {
    world.violate('business_date', `${facts.businessDate} at ${facts.receivedAt}`)
  }
}

/** The network's book and the ledger say the same of each transaction. */
function checkBook(world: World, scheme: Scheme): void {
  const seen = new Set<string>()
  for (const row of world.store.txns.values()) {
    if (row.image.destination !== scheme.name || row.sent === null) continue
    const key = `${row.sent.sentTransmissionAt}-${row.sent.sentStan}`
    seen.add(key)
    const entry = scheme.book.get(key)
    const theirs = entry !== undefined && entry.code === '00' && !entry.reversed && entry.debit
      ? entry.amountMinor : 0
    const ours = netOf(world, row)
    if (ours !== theirs) {
      world.violate('books_differ', `${scheme.name} ${key}: ours ${ours} ${row.image.state}, `
        + `theirs ${theirs} ${entry?.code ?? 'unseen'} reversed ${entry?.reversed ?? '-'}`)
    }
  }
  for (const key of scheme.book.keys()) {
    if (!seen.has(key)) world.violate('book_without_row', `${scheme.name} ${key}`)
  }
}

interface Originated {
  key: string
  amountMinor: number
  code: string
  codes: ReadonlySet<string>
  resent: boolean
  wantReversal: boolean
  reversed: boolean
  done: boolean
}

/** Codes that say "not now": the same request may be answered otherwise later. */
const PASSING = new Set(['96', '91', '98', '09', '94', 'A0', '77', '68'])

/**
 * Refusals given before anything is stored: the copy of a request that comes after one is decided
 * anew. Known, counted, not (yet) a violation; see docs/reliability-simulation.md.
 */
const UNREMEMBERED = new Set(['96', '91', 'A0', '77'])

/** What the originator remembers and the ledger say the same. */
function checkOriginated(world: World, sale: Originated): void {
  const row = world.store.byKey.get(sale.key)
  const net = netOf(world, row)
  if (!sale.done) return world.violate('never_ended', sale.key)
  const kept = sale.code === '00' && !sale.wantReversal
  const wanted = kept ? sale.amountMinor : 0
  if (net !== wanted && sale.resent && UNREMEMBERED.has(sale.code)) world.counts.afterRefusal++
  else if (net !== wanted) {
    world.violate('originator_differs', `${sale.key}: answered ${sale.code || 'nothing'}, reversed `
      + `${sale.reversed}, ledger ${net} instead of ${wanted}, state ${row?.image.state}`)
  }
  const lasting = [...sale.codes].filter((code) => !PASSING.has(code))
  const undone = sale.wantReversal ? lasting.filter((code) => code !== '22') : lasting
  if (undone.length > 1) world.violate('two_answers', `${sale.key}: ${undone.join(' and ')}`)
}
