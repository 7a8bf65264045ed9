/**
 * Runs targets in a thread and watches it: a call that does not end is stopped from here, with the
 * input that caused it. Used by the test and by `npm run fuzz`.
 */
import { Worker } from 'node:worker_threads'
import { FAILURES_MAX } from './engine.ts'
import type { Outcome } from './engine.ts'
import type { Answer, Order } from './worker.ts'

/** As worker.ts has them, which cannot be imported outside its thread. */
const SHARED_WORDS = 2
const SHARED_BYTES = 4 * SHARED_WORDS + 65_536
/** A thread that starts no new input for so long hangs. */
const HANG_MS = 10_000
const WATCH_MS = 250

export interface RunOptions {
  readonly seed: number
  readonly seconds: number
  readonly failuresMax?: number
  readonly hangMs?: number
}

export class FuzzThread {
  #worker: Worker | null
  #shared: SharedArrayBuffer
  readonly #coverage: boolean

  /** With coverage each run takes about five times as long. */
  constructor(options: { readonly coverage: boolean }) {
    this.#coverage = options.coverage
    this.#worker = null
    this.#shared = new SharedArrayBuffer(SHARED_BYTES)
  }

  /** Names of all targets. */
  async names(): Promise<readonly string[]> {
    const answer = await this.#ask({ kind: 'names' }, HANG_MS * 3)
    return answer?.kind === 'names' ? answer.names : []
  }

  /** Runs one target; an endless call is one of its failures. */
  async run(
    target: string, options: RunOptions, progress?: (outcome: Outcome) => void,
  ): Promise<Outcome> {
    const { seed, seconds, failuresMax = FAILURES_MAX, hangMs = HANG_MS } = options
    // Loading the targets takes longer than a call may.
    if (this.#worker === null) await this.names()
    let last: Outcome = {
      target, seed, executions: 0, seconds: 0, blocks: 0, share: -1, words: 0, kept: 0,
      slowestMs: 0, failures: [],
    }
    const order: Order = { kind: 'run', target, seed, seconds, failuresMax }
    const answer = await this.#ask(order, hangMs, (outcome) => {
      last = outcome
      progress?.(outcome)
    })
    if (answer?.kind === 'done') return answer.outcome
    const what = `a call did not end within ${hangMs} ms`
    const failures = [...last.failures, { target, seed, what, hex: this.#input() }]
    return { ...last, failures, slowestMs: hangMs }
  }

  /** What a kept input breaks; empty when nothing. */
  async replay(target: string, hex: string): Promise<string> {
    const answer = await this.#ask({ kind: 'replay', target, hex }, HANG_MS)
    return answer?.kind === 'replayed' ? answer.what : 'the call did not end'
  }

  async close(): Promise<void> {
    await this.#worker?.terminate()
    this.#worker = null
  }

  #input(): string {
    const words = new Int32Array(this.#shared, 0, SHARED_WORDS)
    return Buffer.from(this.#shared, 4 * SHARED_WORDS, words[1] ?? 0).toString('hex').toUpperCase()
  }

  #start(): Worker {
    this.#shared = new SharedArrayBuffer(SHARED_BYTES)
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: { shared: this.#shared, coverage: this.#coverage },
    })
    this.#worker = worker
    return worker
  }

  /** The answer to an order; null when the thread hung and was stopped. */
  #ask(
    order: Order, hangMs: number, progress: (outcome: Outcome) => void = () => undefined,
  ): Promise<Answer | null> {
    const worker = this.#worker ?? this.#start()
    const words = new Int32Array(this.#shared, 0, SHARED_WORDS)
    return new Promise((resolve, reject) => {
      let seen = Atomics.load(words, 0)
      let quiet = 0
      const onAnswer = (answer: Answer): void => {
        if (answer.kind === 'progress') progress(answer.outcome)
        else end(answer)
      }
      const onError = (error: Error): void => {
        this.#worker = null
        clearInterval(watch)
        reject(error)
      }
      const end = (result: Answer | null): void => {
        clearInterval(watch)
        worker.off('message', onAnswer)
        worker.off('error', onError)
        resolve(result)
      }
      const watch = setInterval(() => {
        const now = Atomics.load(words, 0)
        quiet = now === seen ? quiet + WATCH_MS : 0
        seen = now
        if (quiet < hangMs) return
        this.#worker = null
        void worker.terminate().then(() => { end(null) })
      }, WATCH_MS)
      worker.on('message', onAnswer)
      worker.on('error', onError)
      worker.postMessage(order)
    })
  }
}
