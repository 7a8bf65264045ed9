// Rows of the demonstration and how people see them. Used by demonstration.ts and the commands; rows
// hold nothing of a card but its name.

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

/** Minor units as `12.50`. */
export function money(minor: number): string {
  return (minor / 100).toFixed(2)
}

const HEADINGS = ['', 'step', 'from', 'to', 'what', 'result', 'RRN', 'ms', 'note'] as const

function cellsOf(row: DemonstrationRow): string[] {
  return [
    row.ok ? 'ok' : 'FAILED',
    String(row.step),
    row.from,
    row.to,
    row.what,
    row.result,
    row.rrn,
    String(row.ms),
    row.note,
  ]
}

/** One row as one line, for a log as it happens. */
export function rowLine(row: DemonstrationRow): string {
  return cellsOf(row)
    .filter((cell) => cell !== '')
    .join('  ')
}

/** All rows as a table for people. */
export function renderRows(rows: readonly DemonstrationRow[]): string {
  const lines = [[...HEADINGS], ...rows.map(cellsOf)]
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
