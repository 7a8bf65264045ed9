// A transaction's history as a page of at most 100 columns: facts, what happened in order of time,
// postings, store-and-forward. PURE; called by `txn show`. The journal masks PANs already; here
// whatever looks like one in a free text is masked again, so that a mistake elsewhere stays inside.
import type { SafSummary, TimelineEvent, TxnHistory } from '../../switch/journal/port.ts'
import { maskPan } from '../../switch/secrets.ts'
import { money } from './money.ts'

/** Columns of a page: what a terminal of two halves side by side still shows. */
export const PAGE_COLUMNS = 100

const LABEL_COLUMNS = 12
const TIME_COLUMNS = 9
const WHAT_COLUMNS = 24

/** All transactions of one RRN, a blank line between them; ends with a line break. */
export function renderHistory(histories: readonly TxnHistory[]): string {
  return histories.map((history) => `${page(history).join('\n')}\n`).join('\n')
}

/** The history without anything that looks like a whole PAN, for --json. */
export function maskedHistory(history: TxnHistory): TxnHistory {
  return {
    ...history,
    facts: { ...history.facts, panMasked: maskPans(history.facts.panMasked) },
    events: history.events.map((event) => ({ ...event, detail: maskPans(event.detail) })),
    saf: history.saf.map((row) => ({ ...row, panMasked: maskPans(row.panMasked) })),
  }
}

function page(raw: TxnHistory): string[] {
  const history = maskedHistory(raw)
  const { facts } = history
  const received = facts.receivedAt
  const lines = [`RRN ${facts.rrn}  ${facts.kind}, ${history.state.replaceAll('_', ' ')}`]
  for (const [label, text] of factRows(history)) lines.push(...labelled(label, text))
  lines.push('', 'What happened')
  const events = history.events.toSorted((a, b) => a.atMs - b.atMs)
  if (events.length === 0) lines.push('  nothing was recorded')
  for (const event of events) lines.push(...eventRows(event, received))
  if (history.postings.length > 0) {
    lines.push('', 'Postings')
    for (const one of history.postings) {
      const what = one.reverses ? 'reversed' : 'posted'
      const text = `${one.debit} -> ${one.credit}, ${what} ${one.businessDate}`
      lines.push(...row(since(one.postedAt, received), money(one.amountMinor, one.currency), text))
    }
  }
  if (history.saf.length > 0) {
    lines.push('', 'Store and forward')
    for (const one of history.saf) lines.push(...safRows(one, received))
  }
  return lines
}

function factRows({ facts, answer }: TxnHistory): Array<[string, string]> {
  const terminal = [facts.terminalId, facts.merchantId].filter((text) => text.trim() !== '')
  const rows: Array<[string, string]> = [
    ['received', `${instant(facts.receivedAt)}, business date ${facts.businessDate}`],
    ['from', `${facts.sourceLink}, MTI ${facts.mti}, STAN ${facts.stan}`],
    ['terminal', terminal.join(', merchant ')],
    ['to', facts.route === 'on_us' ? 'our own authorizer (on_us)' : facts.route],
    ['card', facts.panMasked],
    ['amount', money(facts.amountMinor, facts.currency)],
  ]
  if (answer !== null) {
    const parts = [answer.reason.replaceAll('_', ' ')]
    if (answer.authCode.trim() !== '') parts.push(`authorisation ${answer.authCode}`)
    if (answer.settlementDate !== '') parts.push(`settlement ${answer.settlementDate}`)
    if (answer.networkRrn !== '' && answer.networkRrn !== facts.rrn) {
      parts.push(`network RRN ${answer.networkRrn}`)
    }
    if (answer.balanceMinor !== null) {
      parts.push(`balance ${money(answer.balanceMinor, answer.balanceCurrency)}`)
    }
    rows.push(['answer', parts.join(', ')])
  } else {
    rows.push(['answer', 'none yet'])
  }
  rows.push(['id', facts.id])
  return rows.filter(([, text]) => text !== '')
}

function eventRows(event: TimelineEvent, received: number): string[] {
  return row(since(event.atMs, received), event.what, event.detail)
}

function safRows(one: SafSummary, received: number): string[] {
  const attempts = one.attempts === 1 ? '1 attempt' : `${one.attempts} attempts`
  const parts = [`${one.kind} to ${one.destination}`, attempts]
  if (one.lastAnswer !== '') parts.push(`last answer ${one.lastAnswer}`)
  if (one.state === 'queued') parts.push(`next ${instant(one.nextAttemptAt)}`)
  return row(since(one.queuedAt, received), one.state, parts.join(', '))
}

/** Three columns; the last is wrapped at words below itself. */
function row(time: string, what: string, detail: string): string[] {
  const head = `  ${time.padStart(TIME_COLUMNS)}  ${what.padEnd(WHAT_COLUMNS)}  `
  return wrapped(head, detail)
}

function labelled(label: string, text: string): string[] {
  return wrapped(`  ${label.padEnd(LABEL_COLUMNS)}`, text)
}

function wrapped(head: string, text: string): string[] {
  const width = PAGE_COLUMNS - head.length
  const lines: string[] = []
  let rest = text.trim()
  while (rest.length > width) {
    const space = rest.lastIndexOf(' ', width)
    const cut = space > 0 ? space : width
    lines.push(rest.slice(0, cut))
    rest = rest.slice(cut).trimStart()
  }
  lines.push(rest)
  const indent = ' '.repeat(head.length)
  return lines.map((line, i) => `${i === 0 ? head : indent}${line}`.trimEnd())
}

/** Time after receipt: milliseconds up to a minute, then hours, minutes and seconds. */
function since(atMs: number, receivedMs: number): string {
  const ms = atMs - receivedMs
  const sign = ms < 0 ? '-' : '+'
  const size = Math.abs(ms)
  if (size < 60_000) return `${sign}${Math.round(size)} ms`
  const seconds = Math.round(size / 1000)
  const two = (value: number): string => String(value).padStart(2, '0')
  const minutes = Math.floor(seconds / 60)
  return `${sign}${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`
}

/** UTC, as logs have it. */
function instant(ms: number): string {
  return new Date(ms).toISOString().replace('T', ' ')
}

/** Masks every run of 13 to 19 digits that passes the Luhn check (ISO/IEC 7812-1 annex B). */
function maskPans(text: string): string {
  return text.replace(/[0-9]{13,19}/g, (run) => (passesLuhn(run) ? maskPan(run) : run))
}

function passesLuhn(digits: string): boolean {
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits[digits.length - 1 - i])
    const doubled = i % 2 === 1 ? digit * 2 : digit
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0
}
