/**
 * The fuzzer: takes a kept input, changes it, runs the target, and keeps what ran a new block of
 * the code or gave a word not heard before.
 *
 * Called by the worker (worker.ts). The order of inputs follows from the seed; how far it comes in
 * its time does not, so a failure is replayed from its input, which is always told.
 */
import { createHash } from 'node:crypto'
import type { Block, Coverage } from './coverage.ts'
import { mutated } from './mutate.ts'
import { Random, seedOf } from './random.ts'
import { RuleBroken } from './target.ts'
import type { Target } from './target.ts'

/** No call may take longer; reliability.md S1. */
export const CALL_MS_MAX = 50
/** A slow call is tried again this often: another process may have had the processor. */
const SLOW_TRIES = 4
/** Calls below this are not worth another try. */
const SLOW_MS_MIN = 2
/** Executions between two readings of coverage, and the time after which a batch ends early. */
const BATCH_RUNS = 256
const BATCH_MS = 40
/** Kept inputs; beyond it the oldest that is no seed makes room. */
const KEPT_MAX = 3000
const WORDS_MAX = 20_000
/** Different failures after which a target has told enough. */
export const FAILURES_MAX = 5
const SHRINK_RUNS = 400
/** Share of the time that may go into finding which input of a batch ran a new block. */
const LOCATE_SHARE = 0.25
const LOCATE_MS_MIN = 10

export interface Failure {
  readonly target: string
  readonly hex: string
  /** The rule that was broken, or the error that came out. */
  readonly what: string
  readonly seed: number
}

/** What a target came to. */
export interface Outcome {
  readonly target: string
  readonly seed: number
  readonly executions: number
  readonly seconds: number
  /** Stretches of code that ran for the first time, one after the other. */
  readonly blocks: number
  /** Share of the watched functions' code that ran, 0 to 1; -1 when nothing is watched. */
  readonly share: number
  readonly words: number
  readonly kept: number
  /** Slowest call, in milliseconds, the quickest of its tries. */
  readonly slowestMs: number
  readonly failures: readonly Failure[]
}

export class Campaign {
  readonly #target: Target
  readonly #seed: number
  readonly #random: Random
  readonly #coverage: Coverage | null
  readonly #before: (input: Uint8Array) => void
  readonly #kept: Uint8Array[]
  readonly #words: Set<string>
  readonly #failures: Failure[]
  readonly #signatures: Set<string>
  #executions: number
  #blocks: number
  #locatingMs: number
  /** Blocks that ran while there was no time to find their input. */
  #unplaced: Block[]
  #slowestMs: number
  #startedMs: number

  /** `before` is told each input before it runs, for a watcher in another thread. */
  constructor(
    target: Target, seed: number, coverage: Coverage | null,
    before: (input: Uint8Array) => void = () => undefined,
  ) {
    this.#target = target
    this.#seed = seed
    this.#random = new Random(seedOf(target.name, seed))
    this.#coverage = coverage
    this.#before = before
    this.#kept = []
    this.#words = new Set()
    this.#failures = []
    this.#signatures = new Set()
    this.#executions = 0
    this.#blocks = 0
    this.#locatingMs = 0
    this.#unplaced = []
    this.#slowestMs = 0
    this.#startedMs = performance.now()
  }

  /**
   * Runs until `untilMs` of performance.now(), or until so many different failures are found;
   * `progress` after each batch.
   */
  run(
    untilMs: number, failuresMax = FAILURES_MAX,
    progress: (now: () => Outcome) => void = () => undefined,
  ): Outcome {
    this.#startedMs = performance.now()
    this.#coverage?.reset()
    for (const input of this.#target.seeds(this.#random)) this.#try(input)
    this.#readCoverage([])
    if (this.#kept.length === 0) this.#kept.push(Buffer.from([0]))
    while (performance.now() < untilMs && this.#failures.length < failuresMax) {
      this.#batch()
      progress(() => this.outcome())
    }
    this.#coverage?.learn(this.#unplaced)
    return this.outcome()
  }

  /** What an input breaks, empty when nothing; slow calls count. */
  static replay(
    target: Target, input: Uint8Array, before: (input: Uint8Array) => void = () => undefined,
  ): string {
    const campaign = new Campaign(target, 0, null, before)
    campaign.#try(input)
    return campaign.#failures[0]?.what ?? ''
  }

  outcome(): Outcome {
    return {
      target: this.#target.name,
      seed: this.#seed,
      executions: this.#executions,
      seconds: (performance.now() - this.#startedMs) / 1000,
      blocks: this.#blocks,
      share: this.#coverage?.share(this.#target.covers) ?? -1,
      words: this.#words.size,
      kept: this.#kept.length,
      slowestMs: this.#slowestMs,
      failures: [...this.#failures],
    }
  }

  #batch(): void {
    const inputs: Uint8Array[] = []
    const end = performance.now() + BATCH_MS
    while (inputs.length < BATCH_RUNS && performance.now() < end) {
      const input = this.#next()
      inputs.push(input)
      this.#try(input)
    }
    this.#readCoverage(inputs)
  }

  /** An input made from a kept one: half of the time from one of the newest. */
  #next(): Uint8Array {
    const kept = this.#kept
    const random = this.#random
    const newest = random.oneIn(2) ? Math.min(kept.length, 24) : kept.length
    let input: Uint8Array = kept[kept.length - 1 - random.below(newest)]!
    for (let left = random.pick([1, 1, 1, 2, 2, 3, 5]); left > 0; left--) {
      const other = random.pick(kept)
      const own = random.oneIn(3) ? null : this.#target.mutate?.(input, random, other)
      input = own ?? mutated(input, random, other)
    }
    return input.subarray(0, this.#target.bytesMax)
  }

  #keep(input: Uint8Array): void {
    this.#kept.push(Buffer.from(input))
    if (this.#kept.length > KEPT_MAX) this.#kept.splice(KEPT_MAX >> 2, 1)
  }

  /** Runs one input; keeps it when its word is new. */
  #try(input: Uint8Array): void {
    this.#executions++
    const start = performance.now()
    const found = this.#call(input)
    const spent = performance.now() - start
    if (found.failed) {
      this.#fail(input, found.word)
      return
    }
    if (spent > Math.max(this.#slowestMs, SLOW_MS_MIN)) this.#slow(input, spent)
    else if (spent > this.#slowestMs) this.#slowestMs = spent
    if (!this.#words.has(found.word) && this.#words.size < WORDS_MAX) {
      this.#words.add(found.word)
      this.#keep(input)
    }
  }

  #call(input: Uint8Array): { failed: boolean; word: string } {
    this.#before(input)
    try {
      return { failed: false, word: this.#target.run(input) }
    } catch (error) {
      return { failed: true, word: tell(error) }
    }
  }

  /** The quickest of several tries counts: the others waited for the processor or for memory. */
  #slow(input: Uint8Array, first: number): void {
    let quickest = first
    for (let i = 0; i < SLOW_TRIES && quickest > this.#slowestMs; i++) {
      const start = performance.now()
      this.#call(input)
      quickest = Math.min(quickest, performance.now() - start)
    }
    this.#slowestMs = Math.max(this.#slowestMs, quickest)
    if (quickest > CALL_MS_MAX) this.#fail(input, `a call took more than ${CALL_MS_MAX} ms`)
  }

  #fail(input: Uint8Array, what: string): void {
    const signature = signatureOf(what)
    if (this.#signatures.has(signature) || this.#failures.length >= FAILURES_MAX) return
    this.#signatures.add(signature)
    const least = what.startsWith('a call took') ? input : this.#shrink(input, signature)
    const again = this.#call(least)
    this.#failures.push({
      target: this.#target.name,
      hex: Buffer.from(least).toString('hex').toUpperCase(),
      what: again.failed ? again.word : what,
      seed: this.#seed,
    })
  }

  /** Leaves out what does not matter to the failure. */
  #shrink(input: Uint8Array, signature: string): Uint8Array {
    let best = input
    let runs = 0
    for (let size = best.length >> 1; size >= 1; size >>= 1) {
      for (let at = 0; at + size <= best.length && runs < SHRINK_RUNS; runs++) {
        const less = Buffer.concat([best.subarray(0, at), best.subarray(at + size)])
        const found = this.#call(less)
        if (found.failed && signatureOf(found.word) === signature) best = less
        else at += size
      }
    }
    return this.#shrinkByStructure(best, signature)
  }

  /** Tries the target's own changes for a shorter input that fails alike. */
  #shrinkByStructure(input: Uint8Array, signature: string): Uint8Array {
    let best = input
    for (let runs = 0; runs < SHRINK_RUNS; runs++) {
      const less = this.#target.mutate?.(best, this.#random, best)
      if (less === undefined) break
      if (less === null || less.length >= best.length) continue
      const found = this.#call(less)
      if (found.failed && signatureOf(found.word) === signature) best = less
    }
    return best
  }

  /** Reads coverage; where a batch ran new blocks, finds the inputs that did. */
  #readCoverage(inputs: readonly Uint8Array[]): void {
    const coverage = this.#coverage
    if (coverage === null) return
    const news = coverage.news(this.#target.covers)
    if (news.length === 0) return
    const start = performance.now()
    if (this.#locatingMs > LOCATE_SHARE * (start - this.#startedMs)) {
      this.#unplaced.push(...news)
      return
    }
    this.#blocks += news.length
    const end = start + Math.max(LOCATE_MS_MIN, LOCATE_SHARE * (start - this.#startedMs))
    if (inputs.length === 0 || this.#locate(inputs, end)) coverage.learn(news)
    else this.#unplaced.push(...news)
    this.#locatingMs += performance.now() - start
  }

  /** Keeps the inputs that run something new; false when there was no time to find all of them. */
  #locate(inputs: readonly Uint8Array[], endMs: number): boolean {
    if (this.#coverage === null) return true
    if (performance.now() > endMs) return false
    for (const input of inputs) this.#call(input)
    const news: Block[] = this.#coverage.news(this.#target.covers)
    if (news.length === 0) return true
    if (inputs.length === 1) {
      this.#coverage.learn(news)
      this.#keep(inputs[0]!)
      return true
    }
    const half = inputs.length >> 1
    const first = this.#locate(inputs.slice(0, half), endMs)
    return this.#locate(inputs.slice(half), endMs) && first
  }
}

/** Two failures with the same words, numbers aside, are one. */
export function signatureOf(what: string): string {
  return what.replace(/\b[0-9A-Fa-f]*[0-9][0-9A-Fa-f]*\b/g, '#').replace(/: got .*/, '')
    .slice(0, 160)
}

/** What came out, with its place when it was no broken rule. */
function tell(error: unknown): string {
  if (error instanceof RuleBroken) return error.message
  if (!(error instanceof Error)) return 'threw no error'
  return `${error.name}: ${error.message} ${placeOf(error)}`
}

/** File and line where an error arose. */
function placeOf(error: Error): string {
  const line = error.stack?.split('\n').find((one) => one.includes('.ts:'))
  return /([\w.-]+\.ts:[0-9]+)/.exec(line ?? '')?.[1] ?? ''
}

/** Name of the file that keeps a failing input. */
export function vectorName(failure: Failure): string {
  const hash = createHash('sha256').update(`${failure.target} ${failure.hex}`).digest('hex')
  return `${failure.target}-${hash.slice(0, 12)}.json`
}
