/**
 * The thread in which targets run. It counts coverage from before the code under test is loaded,
 * and leaves each input where the watching thread can see it.
 *
 * Started by fuzz-thread.ts, which it answers: one order, one answer.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { Coverage } from './coverage.ts'
import { Campaign } from './engine.ts'
import type { Outcome } from './engine.ts'

/** What the watching thread asks for. */
export type Order =
  | { readonly kind: 'names' }
  | {
    readonly kind: 'run'
    readonly target: string
    readonly seed: number
    readonly seconds: number
    readonly failuresMax: number
  }
  | { readonly kind: 'replay'; readonly target: string; readonly hex: string }

export type Answer =
  | { readonly kind: 'names'; readonly names: readonly string[] }
  | { readonly kind: 'progress'; readonly outcome: Outcome }
  | { readonly kind: 'done'; readonly outcome: Outcome }
  /** Empty when the input breaks no rule any more. */
  | { readonly kind: 'replayed'; readonly what: string }

const PROGRESS_MS = 1000
/** Words of the shared memory before the input: a count of inputs, and the length of this one. */
export const SHARED_WORDS = 2
export const SHARED_BYTES = 4 * SHARED_WORDS + 65_536

const port = parentPort
if (port === null) throw new Error('worker.ts runs in a thread of fuzz-thread.ts')
const { shared, coverage: guided } =
  workerData as { readonly shared: SharedArrayBuffer; readonly coverage: boolean }
const words = new Int32Array(shared, 0, SHARED_WORDS)
const bytes = new Uint8Array(shared, 4 * SHARED_WORDS)

function show(input: Uint8Array): void {
  bytes.set(input.subarray(0, bytes.length))
  words[1] = Math.min(input.length, bytes.length)
  Atomics.add(words, 0, 1)
}

const coverage = guided ? new Coverage(new URL('../../', import.meta.url).href) : null
const { loadTargets } = await import('./catalogue.ts')
const targets = await loadTargets()

const say = (answer: Answer): void => { port.postMessage(answer) }

port.on('message', (order: Order) => {
  if (order.kind === 'names') {
    say({ kind: 'names', names: targets.map((one) => one.name) })
    return
  }
  const target = targets.find((one) => one.name === order.target)
  if (target === undefined) throw new Error(`no target ${order.target}`)
  if (order.kind === 'replay') {
    const input = Buffer.from(order.hex, 'hex')
    say({ kind: 'replayed', what: Campaign.replay(target, input, show) })
    return
  }
  const campaign = new Campaign(target, order.seed, coverage, show)
  let told = performance.now()
  const outcome = campaign.run(performance.now() + order.seconds * 1000, order.failuresMax,
    (now) => {
      if (performance.now() - told < PROGRESS_MS) return
      told = performance.now()
      say({ kind: 'progress', outcome: now() })
    })
  say({ kind: 'done', outcome })
})
