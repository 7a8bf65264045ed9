/**
 * A whole switch for tests: real PostgreSQL, real token, real sockets, the switch as a process of
 * its own that can be killed, and the simulators with their own books in this process. Used by the
 * tests of this folder that cross rooms.
 *
 * One world per test file: a process can be pointed at one SoftHSM configuration only. Ports are
 * free ones.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import {
  chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync,
} from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { childEnvironment, demonstrationPath, loadConfig } from '../config/load.ts'
import type { SwitchConfig } from '../config/schema.ts'
import { startDatabase, type Database } from '../console/database/embedded.ts'
import { prepareDemonstration } from '../console/start/prepare.ts'
import { findDemonstration } from '../hsm/demonstration.ts'
import { findModule } from '../hsm/pkcs11/module-path.ts'
import { openToken, type Token } from '../hsm/pkcs11/token.ts'
import { FaultRules, parseRule } from '../simulators/faults.ts'
import { bookPath, posTerminal, atmTerminal, runScheme } from '../simulators/run.ts'
import type { Outside, RunningScheme, TerminalChoice } from '../simulators/run.ts'
import type { AtmTerminal } from '../simulators/terminal/atm.ts'
import type { PosTerminal } from '../simulators/terminal/pos.ts'
import { migrate } from '../switch/journal/migrate.ts'
import { systemClock, wait } from '../switch/runtime/clock.ts'
import { systemRandom } from '../switch/runtime/random.ts'

const LAUNCHER = fileURLToPath(new URL('../bin/switchyard.js', import.meta.url))
/** Ports of the example configuration that a world replaces by free ones. */
const EXAMPLE_PORTS = [8583, 7001, 7002, 7101, 7102, 7110, 7201, 7202]
const READY_MS_MAX = 20_000

export interface WorldOptions {
  /** Text replacements in the example configuration, e.g. shorter time-outs. */
  readonly edits?: ReadonlyArray<readonly [from: string | RegExp, to: string]>
}

/** How long a network may take in a world: short, so that time-outs can be tested. */
export const REPLY_TIMEOUT_MS = 1_500

export class World {
  readonly home: string
  readonly config: SwitchConfig
  readonly configPath: string
  readonly database: Database
  readonly sql: pg.Client
  readonly outside: Outside
  readonly rules = { visa: new FaultRules([]), cups: new FaultRules([]) }
  readonly #token: Token
  visa: RunningScheme | null = null
  cups: RunningScheme | null = null
  #switch: ChildProcess | null = null

  private constructor(
    home: string,
    configPath: string,
    config: SwitchConfig,
    database: Database,
    sql: pg.Client,
    token: Token,
  ) {
    this.home = home
    this.configPath = configPath
    this.config = config
    this.database = database
    this.sql = sql
    this.#token = token
    this.outside = {
      home,
      config,
      token,
      clock: systemClock,
      random: systemRandom,
      log: () => undefined,
    }
  }

  /** Database, tokens, cards and money; nothing of the switch runs yet. */
  static async make(options: WorldOptions = {}): Promise<World> {
    const home = mkdtempSync(join(tmpdir(), 'switchyard-world-'))
    chmodSync(home, 0o755) // the database's account must reach its folder
    const configPath = join(home, 'switchyard.yaml')
    writeFileSync(configPath, await configText(options))
    const { config } = loadConfig(configPath)
    const database = await startDatabase({ directory: join(home, 'postgres') })
    await migrate(database.url)
    await prepareDemonstration(config, home, database.url)
    const module = findModule()
    const tokens = module === null ? null : findDemonstration({ home, module })
    if (tokens === null) throw new Error('the demonstration has no tokens')
    const sql = new pg.Client({ connectionString: database.url })
    sql.on('error', () => undefined) // some tests kill the database
    await sql.connect()
    return new World(home, configPath, config, database, sql, openToken(tokens.outside))
  }

  /** Both scheme simulators with their books in files. */
  async startSchemes(): Promise<void> {
    this.visa = await this.#scheme('visa')
    this.cups = await this.#scheme('cups')
  }

  #scheme(name: 'visa' | 'cups'): Promise<RunningScheme> {
    const settings = { rules: this.rules[name], bookPath: bookPath(this.home, name) }
    return runScheme(name, this.outside, settings)
  }

  /** Starts the switch and waits until its ports are open. */
  async startSwitch(environment: Record<string, string> = {}): Promise<void> {
    const log = openSync(join(this.home, 'switch.log'), 'a')
    const child = spawn(process.execPath, [LAUNCHER, 'run', '--config', this.configPath], {
      stdio: ['ignore', log, log, 'ipc'],
      env: childEnvironment({
        SWITCHYARD_HOME: this.home,
        SWITCHYARD_DATABASE_URL: this.database.url,
        ...environment,
      }),
    })
    closeSync(log)
    this.#switch = child
    await new Promise<void>((resolve, reject) => {
      const timer = systemClock.after(READY_MS_MAX, () => {
        reject(new Error(`the switch was not ready in time:\n${this.logTail()}`))
      })
      child.once('message', () => {
        timer.cancel()
        resolve()
      })
      child.once('exit', (code) => {
        timer.cancel()
        reject(new Error(`the switch ended with ${code}:\n${this.logTail()}`))
      })
    })
  }

  /** Waits until the links are ready for financials. */
  async linksReady(names: readonly string[] = ['visa', 'cups']): Promise<void> {
    await this.until('links ready', async () => {
      const text = await this.readyText()
      return names.every((name) => text.includes(`${name} ready`))
    })
    if (this.cups === null || !names.includes('cups')) return
    await this.until("CUPS' own line", async () => {
      return (await this.askCups({ do: 'status' }))['ownLineReady'] === true
    })
  }

  /** The verbose readiness page; empty while it cannot be had. */
  async readyText(): Promise<string> {
    const { host, port } = this.config.operations_http
    try {
      return await (await fetch(`http://${host}:${port}/readyz?verbose`)).text()
    } catch {
      return ''
    }
  }

  /** The metrics page. */
  async metricsText(): Promise<string> {
    const { host, port } = this.config.operations_http
    return (await fetch(`http://${host}:${port}/metrics`)).text()
  }

  get switchPid(): number {
    return this.#switch?.pid ?? 0
  }

  /** Ends the switch: SIGKILL at once, SIGTERM with its drain; waits until it is gone. */
  async endSwitch(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#switch
    this.#switch = null
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.kill(signal)
    await gone
  }

  pos(choice: TerminalChoice = {}): PosTerminal {
    return posTerminal(this.outside, choice)
  }

  atm(choice: TerminalChoice = {}): AtmTerminal {
    return atmTerminal(this.outside, choice)
  }

  /** Sets the only fault rules of a scheme; none = it answers plainly. */
  faults(scheme: 'visa' | 'cups', ...rules: string[]): void {
    this.rules[scheme].replace(rules.map(parseRule))
  }

  /** A command for the CUPS simulator's desk, as its control socket takes it. */
  async askCups(command: object): Promise<Record<string, unknown>> {
    const answer = await this.cups!.desk.handle(JSON.stringify(command))
    return JSON.parse(answer) as Record<string, unknown>
  }

  /** Balance of a role account in minor units: debits less credits; 0 when it does not exist. */
  async balance(code: string): Promise<bigint> {
    const { rows } = await this.sql.query<{ net: string }>(
      `SELECT (debits_minor - credits_minor)::text AS net FROM account WHERE code = $1`,
      [code],
    )
    return BigInt(rows[0]?.net ?? '0')
  }

  /** Rows of store-and-forward that are not acknowledged. */
  async safOpen(): Promise<number> {
    const { rows } = await this.sql.query<{ n: string }>(
      `SELECT count(*)::text AS n FROM saf WHERE state <> 'acknowledged'`,
    )
    return Number(rows[0]?.n ?? '0')
  }

  /** Waits for a condition, at most 15 seconds; the error says what did not come. */
  async until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
    for (let tried = 0; tried < 300; tried++) {
      if (await holds()) return
      await wait(systemClock, 50)
    }
    throw new Error(`did not come in 15 s: ${what}\n${this.logTail()}`)
  }

  /** Runs a command of the operators on this world; gives its exit code. */
  command(...words: string[]): Promise<number> {
    const child = spawn(process.execPath, [LAUNCHER, ...words], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: childEnvironment({
        SWITCHYARD_HOME: this.home,
        SWITCHYARD_DATABASE_URL: this.database.url,
        SWITCHYARD_CONFIG: this.configPath,
      }),
    })
    return new Promise((resolve) => child.once('exit', (code) => resolve(code ?? -1)))
  }

  /** Everything the switch has written. */
  log(): string {
    return readFileSync(join(this.home, 'switch.log'), 'utf8')
  }

  logTail(): string {
    return this.log().split('\n').slice(-12).join('\n')
  }

  /** Ends everything and removes the folder. */
  async close(): Promise<void> {
    await this.endSwitch('SIGTERM')
    await this.visa?.stop()
    await this.cups?.stop()
    await this.sql.end().catch(() => undefined)
    this.#token.close()
    await this.database.stop()
    rmSync(this.home, { recursive: true, force: true })
  }
}

async function configText(options: WorldOptions): Promise<string> {
  let text = readFileSync(demonstrationPath(), 'utf8')
  const ports = await freePorts(EXAMPLE_PORTS.length)
  for (const [i, port] of EXAMPLE_PORTS.entries()) {
    text = text.replace(new RegExp(`\\b${port}\\b`, 'g'), String(ports[i]))
  }
  text = text.replace(/reply_timeout_ms: \d+/g, `reply_timeout_ms: ${REPLY_TIMEOUT_MS}`)
  text = text.replace(/retry_first_ms: \d+/, 'retry_first_ms: 500')
  for (const [from, to] of options.edits ?? []) text = text.replace(from, to)
  return text
}

/** Ports that nothing listens on now; all are held open together so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer()
      return new Promise<typeof server>((resolve) => {
        server.listen(0, '127.0.0.1', () => resolve(server))
      })
    }),
  )
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
