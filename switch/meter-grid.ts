// hot path
// Counters and histograms with closed label sets, kept in typed arrays and handed to prom-client
// only when somebody reads /metrics. meters.ts makes them; the pipeline counts with them.
// Counting must not allocate: labels are looked up in maps made at start, cells are added to.
//
//   cell of a counter      = ((first label * count of second) + second) * count of third + third
//   row of a histogram     = bucket 0 | bucket 1 | ... | +Inf | sum
import { Counter, type Histogram, type MetricValueWithName, type Registry } from 'prom-client'

/** One label and every value it can have; what is not in the list is counted as `other`. */
export interface Label {
  readonly name: string
  readonly values: readonly string[]
}

/** The value under which anything outside a closed set is counted. */
export const OTHER = 'other'

/** Cells of one metric; beyond it a label set is not closed but a leak in the making. */
export const CELLS_MAX = 65_536

/** Up to three closed labels folded into one index. */
class Cells {
  readonly count: number
  readonly #labels: readonly Label[]
  readonly #indexes: ReadonlyArray<ReadonlyMap<string, number>>
  readonly #sizes: readonly number[]

  constructor(labels: readonly Label[]) {
    this.#labels = labels.map(({ name, values }) => ({ name, values: [...values, OTHER] }))
    this.#indexes = this.#labels.map(({ values }) => new Map(values.map((value, i) => [value, i])))
    this.#sizes = this.#labels.map(({ values }) => values.length)
    this.count = this.#sizes.reduce((product, size) => product * size, 1)
    if (labels.length > 3 || this.count > CELLS_MAX) throw new Error('too many labels for a metric')
  }

  /** Index of a cell; unknown values land in `other`. */
  at(first: string, second: string, third: string): number {
    let index = 0
    if (this.#sizes.length > 0) index = this.#find(0, first)
    if (this.#sizes.length > 1) index = index * (this.#sizes[1] ?? 0) + this.#find(1, second)
    if (this.#sizes.length > 2) index = index * (this.#sizes[2] ?? 0) + this.#find(2, third)
    return index
  }

  /** The labels of a cell, for the reader. */
  labelsOf(index: number): Record<string, string> {
    const found: Record<string, string> = {}
    let span = this.count
    for (const { name, values } of this.#labels) {
      span /= values.length
      found[name] = values[Math.floor(index / span) % values.length] ?? OTHER
    }
    return found
  }

  /** True for the last value of a single label. */
  isOther(index: number): boolean {
    return this.#sizes.length === 1 && index === this.count - 1
  }

  #find(label: number, value: string): number {
    const found = this.#indexes[label]?.get(value)
    return found ?? (this.#sizes[label] ?? 1) - 1
  }
}

/**
 * A counter per combination of labels. With one label or none all are shown from the start, so that
 * the first event is seen as a rise; of two and more only combinations that occurred.
 */
export class CounterGrid {
  readonly #cells: Cells
  readonly #values: Float64Array

  /** @param labels at most three; their values are all that will ever be shown, besides `other` */
  constructor(registry: Registry, name: string, help: string, labels: readonly Label[]) {
    const cells = new Cells(labels)
    const values = new Float64Array(cells.count)
    this.#cells = cells
    this.#values = values
    const collect = function (this: Counter): void {
      this.reset()
      for (let i = 0; i < values.length; i++) {
        const value = values[i] ?? 0
        const shown = value > 0 || (labels.length <= 1 && !cells.isOther(i))
        if (shown) this.inc(cells.labelsOf(i), value)
      }
    }
    const labelNames = labels.map((label) => label.name)
    registry.registerMetric(new Counter({ name, help, labelNames, registers: [], collect }))
  }

  /** Counts one event. */
  count(first = '', second = '', third = ''): void {
    this.add(1, first, second, third)
  }

  /** Adds `amount` (>= 0) to one combination. */
  add(amount: number, first = '', second = '', third = ''): void {
    const at = this.#cells.at(first, second, third)
    this.#values[at] = (this.#values[at] ?? 0) + amount
  }

  /** What one combination stands at; for tests and reports. */
  value(first = '', second = '', third = ''): number {
    return this.#values[this.#cells.at(first, second, third)] ?? 0
  }
}

/** Seconds from a local token call to the longest wait of a terminal. */
export const DURATION_BUCKETS: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
]

/** A histogram of seconds per combination of labels. */
export class DurationGrid {
  readonly #cells: Cells
  readonly #rows: Float64Array
  readonly #buckets: Float64Array

  constructor(registry: Registry, name: string, help: string, labels: readonly Label[]) {
    this.#cells = new Cells(labels)
    this.#buckets = Float64Array.from(DURATION_BUCKETS)
    this.#rows = new Float64Array(this.#cells.count * (this.#buckets.length + 2))
    // The registry asks a metric for its name and for get(), nothing else; prom-client's own class
    // would keep its own numbers beside these.
    const metric = {
      name,
      get: async () => ({ name, help, type: 'histogram', values: this.#show(name) }),
      reset: () => void this.#rows.fill(0),
    }
    registry.registerMetric(metric as unknown as Histogram)
  }

  /** Counts one duration in seconds. */
  observe(seconds: number, first = '', second = '', third = ''): void {
    const width = this.#buckets.length + 2
    const row = this.#cells.at(first, second, third) * width
    let bucket = 0
    while (bucket < this.#buckets.length && seconds > (this.#buckets[bucket] ?? 0)) bucket++
    this.#rows[row + bucket] = (this.#rows[row + bucket] ?? 0) + 1
    this.#rows[row + width - 1] = (this.#rows[row + width - 1] ?? 0) + seconds
  }

  #show(name: string): MetricValueWithName<string>[] {
    const shown: MetricValueWithName<string>[] = []
    const width = this.#buckets.length + 2
    for (let cell = 0; cell < this.#cells.count; cell++) {
      const row = this.#rows.subarray(cell * width, (cell + 1) * width)
      const labels = this.#cells.labelsOf(cell)
      let count = 0
      const buckets: MetricValueWithName<string>[] = []
      for (let i = 0; i <= this.#buckets.length; i++) {
        count += row[i] ?? 0
        const le = this.#buckets[i] ?? '+Inf'
        buckets.push({ labels: { ...labels, le }, value: count, metricName: `${name}_bucket` })
      }
      if (count === 0) continue
      shown.push(...buckets)
      shown.push({ labels, value: row[width - 1] ?? 0, metricName: `${name}_sum` })
      shown.push({ labels, value: count, metricName: `${name}_count` })
    }
    return shown
  }
}
