// Runs everything that `npm start` promises: database, tokens, simulators, the switch, and the
// demonstration; watches them and ends them in order. Called by console/commands/start.ts.
//
//   lock - ports - database - migrations - demonstration keys and cards
//        - simulators and switch (children, watched) - traffic - ready ... Ctrl-C
//
// What was begun is ended in the opposite order, however far it came. Talk goes to say(), results
// to print(). It must never print a database address or anything of a card that is not masked.
import { join } from 'node:path'
import { childEnvironment } from '../../config/load.ts'
import type { SwitchConfig } from '../../config/schema.ts'
import type { Clock } from '../../switch/runtime/clock.ts'
import { takeLock } from '../database/lock.ts'
import type { Database, DatabaseOptions } from '../database/embedded.ts'
import { SupervisedChild, type ChildSpec } from './child.ts'
import type { Guard } from './guard.ts'
import { neededPorts, portTrouble } from './ports.ts'
import * as runState from './run-state.ts'

/** Children of an earlier start that was killed drain for up to this long; ms. */
const SURVIVORS_MS_MAX = 22_000
const POLL_MS = 100

/** A switch opens its ports in a second; recovery after a crash may take longer. */
const READY_MS_MAX = 60_000

/** From SIGTERM to SIGKILL: the switch's own drain (DRAIN_MS_MAX) and a margin. */
const SWITCH_DRAIN_MS_MAX = 18_000
const SIMULATOR_DRAIN_MS_MAX = 4_000

/** Dialects whose network has a simulator, by the word of `switchyard simulate`. */
const SIMULATED = ['cups', 'visa'] as const

/** What the supervisor starts in its own process; replaced in tests. */
export interface Parts {
  startDatabase(options: DatabaseOptions): Promise<Database>
  migrate(url: string): Promise<unknown>
  prepare(config: SwitchConfig, home: string, url: string): Promise<void>
  /** Runs the demonstration's traffic and returns it as a table for people. */
  demonstrate(
    config: SwitchConfig,
    home: string,
    stop: AbortSignal,
    log: (line: string) => void,
  ): Promise<string>
  /** Ends the embedded database when this process is killed. */
  guard(url: string, processesFile: string): Promise<Guard>
  readonly launcher?: string // another script in place of bin/switchyard.js
}

export interface StartOptions {
  readonly config: SwitchConfig
  readonly configPath: string
  readonly home: string
  readonly databaseUrl: string | null
  readonly quiet: boolean
  readonly parts: Parts
  readonly clock: Clock
  readonly say: (line: string) => void
  readonly print: (text: string) => void
}

/** Why a start did not come about; one line that says what to do. */
export class StartRefused extends Error {
  readonly code = 'start_refused'
}

/** Asked to stop while still starting; no fault. */
class Stopped extends Error {}

export class Supervisor {
  readonly #options: StartOptions
  readonly #undo: Array<() => Promise<void> | void> = []
  readonly #children: SupervisedChild[] = []
  readonly #stop = new AbortController()
  #running: Promise<void> | null = null
  #database: Database | null = null
  #databaseUrl = ''
  #guard: Guard | null = null

  constructor(options: StartOptions) {
    this.#options = options
  }

  /**
   * Starts everything, then waits until stop() is called, then ends everything.
   *
   * @throws Error with one clear sentence when something cannot be had; nothing runs then
   */
  run(): Promise<void> {
    this.#running ??= this.#live()
    return this.#running
  }

  /** Begins the orderly end; run() returns when it is done. */
  stop(): void {
    this.#stop.abort()
  }

  /** The children end at once, the database with a fast shutdown: nothing is left running. */
  async stopNow(): Promise<void> {
    this.#stop.abort()
    for (const child of this.#children) child.kill()
    await this.#running?.catch(() => undefined) // whoever called run() has the error
  }

  async #live(): Promise<void> {
    try {
      await this.#start()
      await aborted(this.#stop.signal)
    } catch (error) {
      if (!(error instanceof Stopped || this.#stop.signal.aborted)) throw error
    } finally {
      await this.#end()
    }
  }

  async #start(): Promise<void> {
    const { config, home, parts, say, clock } = this.#options
    const startedMono = clock.monotonicMs()
    await this.#takeLock()
    await this.#waitForSurvivors()
    const simulated = this.#simulated().map(({ link }) => link)
    const trouble = await portTrouble(neededPorts(config, simulated))
    if (trouble !== '') throw new StartRefused(trouble)
    await this.#step(() => this.#startDatabase())
    await this.#step(() => parts.migrate(this.#databaseUrl))
    if (config.demonstration) {
      await this.#step(() => parts.prepare(config, home, this.#databaseUrl))
      say('demonstration keys, cards and accounts are ready')
    }
    await this.#step(() => this.#startChildren())
    if (config.demonstration && !this.#options.quiet) await this.#step(() => this.#demonstrate())
    const seconds = ((clock.monotonicMs() - startedMono) / 1000).toFixed(1)
    this.#options.print(`${this.#readyLine(seconds)}\n`)
  }

  /** Runs one act to its end, unless it was asked to stop before or meanwhile. */
  async #step(act: () => Promise<unknown>): Promise<void> {
    if (this.#stop.signal.aborted) throw new Stopped()
    await act()
    if (this.#stop.signal.aborted) throw new Stopped()
  }

  async #takeLock(): Promise<void> {
    const { home } = this.#options
    const lock = await takeLock('start', home)
    if ('release' in lock) {
      this.#undo.push(() => lock.release())
      return
    }
    const who = lock.holder === undefined ? '' : `, process ${lock.holder}`
    const what = `switchyard already runs on ${home}${who}`
    throw new StartRefused(`${what}; end it with Ctrl-C there, or set SWITCHYARD_HOME to another`)
  }

  /** The lock is ours, so whatever an earlier start recorded is an orphan that drains. */
  async #waitForSurvivors(): Promise<void> {
    const { home, clock, say } = this.#options
    const untilMono = clock.monotonicMs() + SURVIVORS_MS_MAX
    let left = runState.survivors(home)
    if (left.length > 0) {
      const names = left.map(({ name, pid }) => `${name} (${pid})`).join(', ')
      say(`an earlier start was killed; waiting for its processes to end: ${names}`)
    }
    while (left.length > 0 && clock.monotonicMs() < untilMono && !this.#stop.signal.aborted) {
      await new Promise<void>((resolve) => {
        clock.after(POLL_MS, resolve)
      })
      left = runState.survivors(home)
    }
    for (const { pid } of left) process.kill(pid, 'SIGKILL')
    runState.clearRunState(home)
  }

  async #startDatabase(): Promise<void> {
    const { home, databaseUrl, parts, say } = this.#options
    const options: DatabaseOptions = {
      directory: join(home, 'database'),
      url: databaseUrl ?? undefined,
      onTrouble: (what) => this.#databaseTrouble(what),
    }
    const database = await parts.startDatabase(options).catch((error: unknown) => {
      const why = error instanceof Error ? error.message : 'it does not start'
      const whose = databaseUrl === null ? '' : 'the database of SWITCHYARD_DATABASE_URL: '
      throw new StartRefused(`${whose}${why}`)
    })
    this.#database = database
    this.#databaseUrl = database.url
    this.#undo.push(() => database.stop().finally(() => this.#guard?.release()))
    await this.#guardDatabase()
    runState.recordDatabase(home, database.url)
    this.#undo.push(() => runState.clearRunState(home))
    say(database.embedded ? 'database is ready (embedded PostgreSQL)' : 'database is ready')
  }

  async #guardDatabase(): Promise<void> {
    const { home, parts } = this.#options
    this.#guard?.release()
    if (this.#database?.embedded !== true) return
    this.#guard = await parts.guard(this.#database.url, runState.processesFile(home))
  }

  /** A server that came back has another process; on another port the switch must know it. */
  #databaseTrouble(what: string): void {
    const { home, say } = this.#options
    say(what)
    this.#guardDatabase().catch(() => say('the database is not guarded: it would outlive kill -9'))
    const url = this.#database?.url ?? ''
    if (url === '' || url === this.#databaseUrl || this.#stop.signal.aborted) return
    this.#databaseUrl = url
    runState.recordDatabase(home, url)
    const child = this.#children.find(({ spec }) => spec.name === 'switch')
    child?.restart().catch((error: unknown) => say(String(error)))
  }

  async #startChildren(): Promise<void> {
    const { clock, say } = this.#options
    const specs = [...this.#simulated().map((one) => this.#simulatorSpec(one)), this.#switchSpec()]
    for (const spec of specs) {
      const child = new SupervisedChild(spec, { clock, say, changed: () => this.#record() })
      this.#children.push(child)
      this.#undo.push(() => child.stop())
    }
    const stopAll = (): void => {
      for (const child of this.#children) void child.stop() // #end() waits for the same ends
    }
    this.#stop.signal.addEventListener('abort', stopAll, { once: true })
    try {
      await Promise.all(this.#children.map((child) => child.start()))
    } finally {
      this.#stop.signal.removeEventListener('abort', stopAll)
    }
    say(`${this.#children.map(({ spec }) => spec.name).join(', ')}: ready`)
  }

  /** Links whose network is simulated here: in a demonstration, with an address we dial. */
  #simulated(): Array<{ link: string; word: string }> {
    const { config } = this.#options
    if (!config.demonstration) return []
    return config.links.flatMap((link) => {
      const word = SIMULATED.find((dialect) => dialect === link.dialect)
      const dialled = link.role === 'scheme' && link.connect !== null
      return word !== undefined && dialled ? [{ link: link.name, word }] : []
    })
  }

  #simulatorSpec({ word }: { word: string }): ChildSpec {
    const args = ['simulate', word, '--config', this.#options.configPath]
    return this.#spec(`${word} simulator`, args, SIMULATOR_DRAIN_MS_MAX)
  }

  #switchSpec(): ChildSpec {
    return this.#spec('switch', ['run', '--config', this.#options.configPath], SWITCH_DRAIN_MS_MAX)
  }

  #spec(name: string, args: string[], drainMsMax: number): ChildSpec {
    const { home, parts } = this.#options
    const environment = (): NodeJS.ProcessEnv =>
      childEnvironment({ SWITCHYARD_HOME: home, SWITCHYARD_DATABASE_URL: this.#databaseUrl })
    const logFile = join(home, 'log', `${name.replaceAll(' ', '-')}.log`)
    const launcher = parts.launcher === undefined ? {} : { launcher: parts.launcher }
    return { name, args, environment, logFile, readyMsMax: READY_MS_MAX, drainMsMax, ...launcher }
  }

  #record(): void {
    const processes = this.#children.flatMap(({ spec, pid }) =>
      pid === null ? [] : [{ name: spec.name, pid }],
    )
    runState.recordProcesses(this.#options.home, processes)
  }

  async #demonstrate(): Promise<void> {
    const { config, home, parts, print, say } = this.#options
    const log = (line: string): void => {
      if (!this.#stop.signal.aborted) say(line)
    }
    say('running the demonstration')
    const table = await Promise.race([
      parts.demonstrate(config, home, this.#stop.signal, log),
      aborted(this.#stop.signal).then(() => ''),
    ])
    if (table !== '') print(`${table}\n`)
  }

  #readyLine(seconds: string): string {
    const { config } = this.#options
    const { host, port } = config.operations_http
    const links = config.links.flatMap(({ name, listen }) =>
      listen === null ? [] : [`${name} ${listen.port}`],
    )
    const pages = `http://${host}:${port}/metrics`
    return `ready after ${seconds} s: ${links.join(', ')}; ${pages}; Ctrl-C ends it`
  }

  async #end(): Promise<void> {
    const { say } = this.#options
    if (this.#children.some(({ pid }) => pid !== null)) say('ending: switch, simulators, database')
    while (this.#undo.length > 0) {
      try {
        await this.#undo.pop()?.()
      } catch (error) {
        say(error instanceof Error ? error.message : 'something could not be ended')
      }
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
