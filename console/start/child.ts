// One child process that should be running: started, watched, started again when it dies, ended.
// Used by the supervisor for the switch and the simulators. The child says {type: 'ready'} over
// IPC; when this process dies, by kill -9 too, the IPC channel closes and child-end.ts, which every
// child loads first, ends the child. It is in a session of its own, so that Ctrl-C in the terminal
// reaches the supervisor only, which then ends the children in order.
//
//   starting --ready--> running --died--> pausing --back-off over--> starting
//      |  died before the first ready: start() rejects
//      any --stop()--> stopping --SIGTERM, then SIGKILL--> ended
//
// Its output goes to a log file and never to the terminal.
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readSync, renameSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Clock, Timer } from '../../switch/runtime/clock.ts'

/** First pause before a child that died is started again; doubles up to the maximum. */
export const RESTART_MS_FIRST = 200

/** A child that cannot live is tried again this often: seen at once when the cause is mended. */
export const RESTART_MS_MAX = 10_000

/** A child that ran this long has proved itself: the pauses begin anew. */
export const RESTART_FORGIVEN_MS = 30_000

/** The log of an earlier life beyond this is moved aside at start; bytes. */
const LOG_BYTES_MAX = 16 * 1024 * 1024

/** As much of a log's end as is looked at for a reason; bytes. */
const LAST_WORDS_BYTES = 4_096

const LAUNCHER = fileURLToPath(new URL('../../bin/switchyard.js', import.meta.url))
const CHILD_END = new URL('child-end.ts', import.meta.url).href

export interface ChildSpec {
  readonly name: string
  readonly args: readonly string[] // words after `switchyard`
  readonly environment: () => NodeJS.ProcessEnv // asked at every start
  readonly logFile: string
  readonly readyMsMax: number
  readonly drainMsMax: number // from SIGTERM to SIGKILL
  readonly launcher?: string // another script, for tests
}

export interface ChildSurroundings {
  readonly clock: Clock
  readonly say: (line: string) => void
  readonly changed: () => void // a process began or ended
}

export class SupervisedChild {
  readonly spec: ChildSpec
  readonly #around: ChildSurroundings
  #process: ChildProcess | null = null
  #ended: Promise<void> = Promise.resolve()
  #pause: Timer | null = null
  #pauseMs = RESTART_MS_FIRST
  #stopping = false
  #wasReady = false
  #startedMono = 0
  #logFrom = 0

  constructor(spec: ChildSpec, around: ChildSurroundings) {
    this.spec = spec
    this.#around = around
  }

  /** The process id, or null while there is none. */
  get pid(): number | null {
    return this.#process?.pid ?? null
  }

  /**
   * Starts it. Resolves when it is ready; from then on it is started again whenever it dies.
   *
   * @throws Error with the child's last words when it ends before, or is not ready in time
   */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#launch(resolve, reject)
    })
  }

  /** Ends it: SIGTERM, after drainMsMax SIGKILL. Resolves when it is gone. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#pause?.cancel()
    const child = this.#process
    if (child === null) return
    child.kill('SIGTERM')
    const late = this.#around.clock.after(this.spec.drainMsMax, () => {
      this.#around.say(`${this.spec.name} did not end in time and was killed`)
      child.kill('SIGKILL')
    })
    await this.#ended
    late.cancel()
  }

  /** Ends it at once. */
  kill(): void {
    this.#stopping = true
    this.#pause?.cancel()
    this.#process?.kill('SIGKILL')
  }

  /** Ends it in order and starts it anew, e.g. because its environment changed. */
  async restart(): Promise<void> {
    await this.stop()
    this.#stopping = false
    await this.start()
  }

  #launch(ready: () => void, failed: (error: Error) => void): void {
    const { name, readyMsMax } = this.spec
    const { clock } = this.#around
    const child = this.#spawn()
    this.#process = child
    this.#startedMono = clock.monotonicMs()
    const late = clock.after(readyMsMax, () => {
      this.#around.say(`${name} was not ready after ${readyMsMax / 1000} s and is ended`)
      child.kill('SIGKILL')
    })
    child.on('message', (message: unknown) => {
      if ((message as { type?: unknown } | null)?.type !== 'ready') return
      late.cancel()
      this.#wasReady = true
      ready()
    })
    this.#ended = new Promise((resolve) => {
      const gone = (how: string): void => {
        late.cancel()
        if (this.#process !== child) return
        this.#process = null
        this.#around.changed()
        resolve()
        this.#died(how, failed)
      }
      child.once('error', (error) => gone(`cannot be started: ${error.message}`))
      child.once('exit', (code, signal) => gone(signal === null ? `exit ${code}` : signal))
    })
    this.#around.changed()
  }

  #spawn(): ChildProcess {
    const { args, environment, launcher } = this.spec
    const log = this.#openLog()
    try {
      const words = ['--import', CHILD_END, launcher ?? LAUNCHER, ...args]
      return spawn(process.execPath, words, {
        env: environment(),
        stdio: ['ignore', log, log, 'ipc'],
        detached: true,
      })
    } finally {
      closeSync(log)
    }
  }

  #died(how: string, failed: (error: Error) => void): void {
    const { name } = this.spec
    const words = how.startsWith('SIG') ? '' : this.#lastWords() // a killed one explains nothing
    const why = words === '' ? `(${how})` : `(${how}): ${words}`
    if (this.#stopping || !this.#wasReady) {
      failed(new Error(`${name} ended ${why}`))
      return
    }
    const ranMs = this.#around.clock.monotonicMs() - this.#startedMono
    if (ranMs > RESTART_FORGIVEN_MS) this.#pauseMs = RESTART_MS_FIRST
    const pauseMs = this.#pauseMs
    this.#pauseMs = Math.min(RESTART_MS_MAX, pauseMs * 2)
    this.#around.say(`${name} ended ${why}; it is started again in ${pauseMs / 1000} s`)
    this.#pause = this.#around.clock.after(pauseMs, () => {
      const again = (): void => this.#around.say(`${name} is ready again`)
      this.#launch(again, () => undefined)
    })
  }

  #openLog(): number {
    const { logFile } = this.spec
    mkdirSync(dirname(logFile), { recursive: true, mode: 0o700 })
    const size = statSync(logFile, { throwIfNoEntry: false })?.size ?? 0
    if (size > LOG_BYTES_MAX) renameSync(logFile, `${logFile}.1`)
    this.#logFrom = size > LOG_BYTES_MAX ? 0 : size
    return openSync(logFile, 'a', 0o600)
  }

  /** The last line it wrote for people in this life (log lines are JSON), or ''. */
  #lastWords(): string {
    const log = openSync(this.spec.logFile, 'r')
    try {
      const size = statSync(this.spec.logFile).size
      const from = Math.max(this.#logFrom, size - LAST_WORDS_BYTES)
      const tail = Buffer.alloc(Math.max(0, size - from))
      readSync(log, tail, 0, tail.length, from)
      const lines = tail.toString('utf8').split('\n').map((line) => line.trim())
      const said = lines.findLast((line) => line.startsWith('switchyard: '))
      const raised = lines.findLast((line) => /^\w*Error\b/.test(line))
      return (said ?? raised ?? '').replace(/^switchyard: /, '').slice(0, 300)
    } finally {
      closeSync(log)
    }
  }
}
