// Rows of the demonstration and how people see them. Used by demonstration.ts and the commands;
// rows hold nothing of a card but its name.

import type { OperationResult } from './terminal/line.ts'

/** One line of the demonstration. */
export interface DemonstrationRow {
  readonly step: number
  readonly from: string
  readonly to: string
  readonly what: string
  /** Response code and, where there is one, a balance. */
  readonly result: string
  readonly rrn: string
  readonly ms: number
  /** Whether the result is what it must be. */
  readonly ok: boolean
  readonly note: string
}

/** What a step found out. */
export interface Finding {
  readonly result: string
  readonly rrn?: string
  readonly ms?: number
  readonly ok: boolean
  readonly note?: string
}

/** The finding of an operation: its code and balance, and what there is to say. */
export function found(result: OperationResult, ok: boolean, note: string): Finding {
  const balance = result.balanceMinor === null ? '' : `, ${money(result.balanceMinor)}`
  const notes = [note, result.note].filter((one) => one !== '')
  return {
    result: `${result.code || 'none'}${balance}`,
    rrn: result.rrn,
    ms: result.ms,
    ok,
    note: notes.join('; '),
  }
}

/** Whether a scheme is signed on with keys. */
export function schemeFinding(ready: boolean, note: string): Finding {
  return {
    result: ready ? '00' : 'none',
    ok: ready,
    note: ready ? note : 'is its simulator running?',
  }
}

/** A sign-on is right when the keys came with the check values that they have. */
export function signOnFinding(result: OperationResult): Finding {
  return found(
    result,
    result.code === '00' && result.note === '',
    result.note === '' ? 'check values agree' : '',
  )
}

/** A chip transaction is right when approved with a right MAC and a right ARPC. */
export function chipFinding(result: OperationResult): Finding {
  const ok = result.code === '00' && result.macRight === true && result.issuerGenuine === true
  return found(result, ok, checks(result))
}

/** What MAC and ARPC of an answer were. */
export function checks(result: {
  macRight: boolean | null
  issuerGenuine: boolean | null
}): string {
  const word = (value: boolean | null): string =>
    value === null ? 'absent' : value ? 'right' : 'WRONG'
  return `MAC ${word(result.macRight)}, ARPC ${word(result.issuerGenuine)}`
}

/** Minor units as `12.50`. */
export function money(minor: number): string {
  return (minor / 100).toFixed(2)
}

const HEADINGS = ['', 'step', 'between', 'what', 'result', 'ms'] as const
/** Where the second line of a row begins. */
const INDENT = ' '.repeat(10)

function cellsOf(row: DemonstrationRow): string[] {
  const between = `${row.from} > ${row.to}`
  return [row.ok ? 'ok' : 'FAILED', String(row.step), between, row.what, row.result, String(row.ms)]
}

/** Reference number and note of a row; empty when it has neither. */
function restOf(row: DemonstrationRow): string {
  return [row.rrn === '' ? '' : `RRN ${row.rrn}`, row.note].filter((text) => text !== '').join('; ')
}

/** One row as one line, for a log as it happens. */
export function rowLine(row: DemonstrationRow): string {
  return [...cellsOf(row), restOf(row)].filter((cell) => cell !== '').join('  ')
}

/** All rows as a table for people, two lines a row, so that it fits 100 columns. */
export function renderRows(rows: readonly DemonstrationRow[]): string {
  const cells = rows.map(cellsOf)
  const widths = HEADINGS.map((heading, column) => {
    return Math.max(heading.length, ...cells.map((line) => (line[column] ?? '').length))
  })
  const lineOf = (line: readonly string[]): string => {
    return line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()
  }
  const lines = [lineOf(HEADINGS)]
  for (const [i, row] of rows.entries()) {
    lines.push(lineOf(cells[i] ?? []))
    const rest = restOf(row)
    if (rest !== '') lines.push(INDENT + rest)
  }
  return lines.join('\n')
}
