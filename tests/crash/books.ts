/**
 * Three books compared: what the terminals believe, what Visa and CUPS have entered, and the
 * ledger, by SQL.
 *
 * Called when everything has settled: no till has an open item, no intent is left,
 * store-and-forward is empty. The books are cumulative, so one comparison covers every kill since
 * the first. It must never look at how the switch came to its state.
 */

import { readFileSync } from 'node:fs'
import type pg from 'pg'
import { CARDS } from '../../simulators/cards.ts'
import type { BookLine } from '../../simulators/book.ts'
import type { Item } from './floor.ts'

interface Row {
  id: string
  state: string
  kind: string
  source_link: string
  destination: string
  terminal_id: string
  stan: string
  rrn: string
  sent_stan: string
  sent_transmission_at: string
  amount_minor: string
}

const MERCHANT = 'merchant:123456789012345'
const ATM = 'atm:20000001'

/** Where the schemes' books lie. */
export interface BookPaths {
  visa: string
  cups: string
}

/** What is still under way in the database, as text; empty when all is settled. */
export async function underWay(sql: pg.Pool): Promise<string> {
  const { rows } = await sql.query<{ intents: string; queued: string }>(
    `SELECT (SELECT count(*) FROM txn WHERE state = 'intent') AS intents,
            (SELECT count(*) FROM saf WHERE state = 'queued') AS queued`,
  )
  const { intents = '0', queued = '0' } = rows[0] ?? {}
  return intents === '0' && queued === '0' ? '' : `${intents} intents, ${queued} queued reversals`
}

/** Every disagreement as one sentence; none when the three books agree. */
export async function disagreements(
  sql: pg.Pool,
  items: readonly Item[],
  paths: BookPaths,
): Promise<string[]> {
  const { rows } = await sql.query<Row>(
    `SELECT id, state, kind, source_link, destination, terminal_id, stan, rrn, sent_stan,
            sent_transmission_at, amount_minor
     FROM txn WHERE reverse_of IS NULL`,
  )
  return [
    ...(await ledgerByItself(sql)),
    ...terminalsAgainst(rows, items),
    ...schemeAgainst(rows, 'visa', paths.visa),
    ...schemeAgainst(rows, 'cups', paths.cups),
    ...(await accountsAgainst(sql, items, paths)),
  ]
}

/** What must hold in the database whatever anybody believes. */
async function ledgerByItself(sql: pg.Pool): Promise<string[]> {
  const questions: Record<string, string> = {
    'ledger_imbalance is empty': 'SELECT problem || code AS what FROM ledger_imbalance',
    'no intent is left': `SELECT id AS what FROM txn WHERE state = 'intent'`,
    'nothing waits in store-and-forward': `SELECT txn_id AS what FROM saf WHERE state = 'queued'`,
    'what timed out has its reversal': `SELECT id AS what FROM txn WHERE state = 'timed_out'
       AND NOT EXISTS (SELECT 1 FROM saf WHERE saf.txn_id = txn.id)`,
    'what was reversed after it left has its reversal': `SELECT id AS what FROM txn
       WHERE state = 'reversed' AND destination <> ''
       AND NOT EXISTS (SELECT 1 FROM saf WHERE saf.txn_id = txn.id)`,
    'only an approval or its undoing has postings': `SELECT DISTINCT txn.id AS what FROM txn
       JOIN posting ON posting.txn_id = txn.id WHERE state NOT IN ('approved', 'reversed')`,
    'an approval is posted once': `SELECT txn.id AS what FROM txn
       LEFT JOIN posting ON posting.txn_id = txn.id
       WHERE state = 'approved' AND reverse_of IS NULL AND txn.amount_minor > 0
       GROUP BY txn.id HAVING count(posting.id) <> 1`,
    'what was undone nets to nothing': `SELECT txn.id AS what FROM txn
       JOIN posting ON posting.txn_id = txn.id WHERE state = 'reversed'
       GROUP BY txn.id HAVING sum(CASE WHEN reverses IS NULL THEN 1 ELSE -1 END) <> 0`,
    'no trace number left twice': `SELECT sent_stan AS what FROM txn WHERE destination <> ''
       GROUP BY destination, sent_transmission_at, sent_stan HAVING count(*) > 1`,
    'no reference number was given twice': `SELECT rrn AS what FROM txn
       WHERE source_link IN ('pos', 'atm') AND reverse_of IS NULL AND state <> 'reversed_unseen'
       GROUP BY rrn HAVING count(*) > 1`,
  }
  const found: string[] = []
  for (const [rule, text] of Object.entries(questions)) {
    const { rows } = await sql.query<{ what: string }>(text)
    if (rows.length > 0) found.push(`not so: ${rule}: ${rows.map((row) => row.what).join(' ')}`)
  }
  return found
}

/** What a terminal took for approved is approved, and nothing else is. */
function terminalsAgainst(rows: readonly Row[], items: readonly Item[]): string[] {
  const found: string[] = []
  const byKey = new Map(rows.map((row) => [keyOfRow(row), row]))
  const approved = new Set<string>()
  for (const item of items) {
    const key = keyOfItem(item)
    const row = byKey.get(key)
    const at = `${key} over ${item.amountMinor}`
    if (item.belief === 'unknown') found.push(`${at}: its terminal never learned what became of it`)
    if (item.belief === 'approved') {
      approved.add(key)
      if (row?.state !== 'approved') {
        found.push(`${at}: approved at the terminal, ${row?.state ?? 'absent'} here`)
      }
      else if (Number(row.amount_minor) !== item.amountMinor) found.push(`${at}: amounts differ`)
    } else if (row?.state === 'approved') {
      found.push(`${at}: ${item.belief} at the terminal, approved here (${row.id})`)
    }
  }
  for (const row of rows) {
    const money = row.kind === 'purchase' || row.kind === 'cash'
    if (row.state !== 'approved' || !money || approved.has(keyOfRow(row))) continue
    found.push(`${keyOfRow(row)}: approved here, no terminal has it as approved (${row.id})`)
  }
  return found
}

function keyOfItem(item: Item): string {
  const number = item.where === 'cups' ? item.rrn : item.stan
  return `${item.where} ${item.terminal} ${number}`
}

function keyOfRow(row: Row): string {
  const number = row.source_link === 'cups' ? row.rrn : row.stan
  return `${row.source_link} ${row.terminal_id} ${number}`
}

/**
 * Entry by entry: what a scheme has approved and not reversed is approved here, and the other way
 * round.
 */
function schemeAgainst(rows: readonly Row[], name: 'visa' | 'cups', path: string): string[] {
  const standing = new Map<string, BookLine>()
  for (const line of bookOf(path)) {
    if (line.event === 'approved') standing.set(line.key, line)
    if (line.event === 'reversed') standing.delete(line.key)
  }
  const theirs = new Map([...standing.values()].map((line) => [numberOf(line.key), line]))
  const found: string[] = []
  for (const row of rows) {
    if (row.destination !== name || row.state !== 'approved') continue
    const number = `${row.sent_transmission_at}-${row.sent_stan}`
    const line = theirs.get(number)
    theirs.delete(number)
    if (line === undefined) found.push(`${name} ${number}: approved here, not standing at ${name}`)
    else if (line.amount_minor !== Number(row.amount_minor)) {
      found.push(`${name} ${number}: amounts differ`)
    }
  }
  for (const number of theirs.keys()) {
    found.push(`${name} ${number}: stands at ${name}, not approved here`)
  }
  return found
}

function numberOf(key: string): string {
  return key.split('-').slice(0, 2).join('-')
}

function bookOf(path: string): BookLine[] {
  const lines = readFileSync(path, 'utf8').split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as BookLine)
}

/** Accounts against the sums of those who should know. */
async function accountsAgainst(
  sql: pg.Pool,
  items: readonly Item[],
  paths: BookPaths,
): Promise<string[]> {
  const { rows } = await sql.query<{ code: string; net: string }>(
    'SELECT code, (debits_minor - credits_minor)::text AS net FROM account',
  )
  const accounts = new Map(rows.map((row) => [row.code, BigInt(row.net)]))
  const sum = (of: (item: Item) => boolean): bigint =>
    items.reduce((total, item) => {
      return item.belief === 'approved' && of(item) ? total + BigInt(item.amountMinor) : total
    }, 0n)
  const expected: Array<readonly [code: string, net: bigint]> = [
    [MERCHANT, -sum((item) => item.where === 'pos')],
    [ATM, -sum((item) => item.where === 'atm')],
    ['payable:cups', -sum((item) => item.where === 'cups')],
    ['receivable:visa', standingSum(paths.visa)],
    ['receivable:cups', standingSum(paths.cups)],
  ]
  for (const card of CARDS) {
    if (card.issuer !== 'own') continue
    const spent = sum((item) => item.card === card.name)
    expected.push([`customer:${card.name}`, spent - card.openingBalanceMinor])
  }
  return expected.flatMap(([code, net]) => {
    const here = accounts.get(code) ?? 0n
    return here === net ? [] : [`${code} is ${here} here, ${net} by the peers' books`]
  })
}

function standingSum(path: string): bigint {
  let sum = 0n
  for (const line of bookOf(path)) {
    if (line.event === 'approved' && line.debit === 1) sum += BigInt(line.amount_minor)
    if (line.event === 'reversed') sum -= BigInt(line.amount_minor)
  }
  return sum
}
