// A plain table for people: columns as wide as their widest cell, two blanks between. PURE.

/** Head, rule and rows; numbers are aligned right. Ends with a line break. */
export function table(head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const number = /^-?[0-9,.]+( [A-Z]{3})?$/
  const numeric = head.map((_, column) => rows.every((row) => number.test(row[column] ?? '')))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return numeric[column] === true ? cell.padStart(width) : cell.padEnd(width)
      })
      .join('  ')
      .trimEnd()
  const rule = widths.map((width) => '-'.repeat(width)).join('  ')
  return [line(head), rule, ...rows.map(line)].join('\n') + '\n'
}
