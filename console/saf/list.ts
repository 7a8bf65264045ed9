// What `switchyard saf list` prints: every stored message that is not acknowledged, and the latest
// that are. Called by console/commands/saf.ts.
import type { SafSummary } from '../../switch/journal/port.ts'
import { money } from '../txn/money.ts'
import { table } from '../txn/table.ts'

/** The rows as a table for people. @param nowMs epoch milliseconds */
export function renderSaf(rows: readonly SafSummary[], nowMs: number): string {
  if (rows.length === 0) return 'nothing is stored\n'
  const head = ['queued', 'destination', 'kind', 'state', 'attempts', 'answer']
  head.push('RRN', 'card', 'amount', 'next')
  const body = rows.map((row) => [
    `${age(nowMs - row.queuedAt)} ago`,
    row.destination,
    row.kind,
    row.state,
    String(row.attempts),
    row.lastAnswer,
    row.rrn,
    row.panMasked,
    money(row.amountMinor, row.currency),
    row.state === 'queued' ? next(row.nextAttemptAt - nowMs) : '',
  ])
  return table(head, body)
}

function next(ms: number): string {
  return ms <= 0 ? 'now' : `in ${age(ms)}`
}

function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`
  return `${Math.round(seconds / 3_600)} h`
}
