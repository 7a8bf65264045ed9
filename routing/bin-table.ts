// hot path
// Which row of the routing table a PAN belongs to: longest prefix, or narrowest range, wins.
// Called by routing/choose.ts once per transaction; PURE, imports nothing of ours. It must never
// have a default row: a PAN that nothing covers is -1 (behaviours: no route by accident).
//
// Rows are intervals of the first 15 digits of a PAN. They may lie within each other, so building
// cuts them into disjoint stretches, and a look-up is one binary search over where these begin:
//
//   row 0   62                |-----------------------------------|
//   row 1   622300                    |------|
//   row 2   62230088                    |-|
//   starts  0                 62..0   6223.. .. ..  622301        63..0
//   rows    -1                0       1  2  1    0                -1

/** Digits of a PAN that can matter: 15 are exact in a double, and longer prefixes do not exist. */
export const KEY_DIGITS = 15

/** One row: the first and last PAN it covers, by their first digits (1 to 15, equally many). */
export interface BinRange {
  readonly first: string
  readonly last: string
}

/** Look-up without allocation in O(log n); see the drawing above. */
export class BinTable {
  readonly #starts: Float64Array
  readonly #rows: Int32Array

  /**
   * @param ranges row numbers in the answers are positions in this list
   * @throws RangeError for a row that is no range, equals another or overlaps it half
   */
  constructor(ranges: readonly BinRange[]) {
    const intervals = ranges.map(toInterval).sort((a, b) => a.first - b.first || b.last - a.last)
    const { starts, rows } = cut(intervals)
    this.#starts = Float64Array.from(starts)
    this.#rows = Int32Array.from(rows)
  }

  /** Disjoint stretches the table holds. */
  get size(): number {
    return this.#starts.length
  }

  /**
   * @param pan 8 to 19 digits
   * @returns the row, or -1 when none covers the PAN or the text is no PAN
   */
  find(pan: string): number {
    const key = keyOf(pan)
    if (key < 0) return -1
    const starts = this.#starts
    let low = 0
    let high = starts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (starts[middle]! <= key) low = middle // middle <= high < length
      else high = middle - 1
    }
    return this.#rows[low]! // starts[0] is 0 and no key is less
  }
}

const PAN_DIGITS_MIN = 8
const PAN_DIGITS_MAX = 19

/** The first 15 digits as a number, short PANs filled up with zeros; -1 for anything else. */
function keyOf(pan: string): number {
  const length = pan.length
  if (length < PAN_DIGITS_MIN || length > PAN_DIGITS_MAX) return -1
  let key = 0
  for (let i = 0; i < length; i++) {
    const digit = pan.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return -1
    if (i < KEY_DIGITS) key = key * 10 + digit
  }
  for (let i = length; i < KEY_DIGITS; i++) key *= 10
  return key
}

interface Interval {
  readonly first: number
  readonly last: number
  readonly row: number
}

function toInterval({ first, last }: BinRange, row: number): Interval {
  const form = /^[0-9]{1,15}$/
  if (!form.test(first) || !form.test(last) || first.length !== last.length || first > last) {
    throw new RangeError(`routing row ${row} is no range of digits`)
  }
  return {
    first: Number(first.padEnd(KEY_DIGITS, '0')),
    last: Number(last.padEnd(KEY_DIGITS, '9')),
    row,
  }
}

/** Sorted intervals (wider first) to disjoint stretches, by a sweep with a stack of open ones. */
function cut(intervals: readonly Interval[]): { starts: number[]; rows: number[] } {
  const starts = [0]
  const rows = [-1]
  const open: Interval[] = []
  const begin = (at: number, row: number): void => {
    if (starts.at(-1) === at) {
      rows[rows.length - 1] = row
    } else {
      starts.push(at)
      rows.push(row)
    }
  }
  const closeBefore = (at: number): void => {
    for (let top = open.at(-1); top !== undefined && top.last < at; top = open.at(-1)) {
      open.pop()
      begin(top.last + 1, open.at(-1)?.row ?? -1)
    }
  }
  for (const next of intervals) {
    closeBefore(next.first)
    const around = open.at(-1)
    const equal = around?.first === next.first && around.last === next.last
    if (around !== undefined && (equal || next.last > around.last)) {
      throw new RangeError(`routing rows ${around.row} and ${next.row} collide`)
    }
    begin(next.first, next.row)
    open.push(next)
  }
  closeBefore(Number.POSITIVE_INFINITY)
  return { starts, rows }
}
