/**
 * Kills the switch, starts it again, lets everything settle, and compares the books.
 *
 * Used by crash.test.ts and soak.ts. One world: real database, token and sockets, the switch as a
 * process started by the usual command. Terminals and schemes live in this process and survive
 * every kill.
 */

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { BookFile, IssuerBook } from '../../simulators/book.ts'
import { ControlDesk } from '../../simulators/control.ts'
import { bookSecret, KEY_LABEL } from '../../simulators/keys.ts'
import { bookPath, runScheme } from '../../simulators/run.ts'
import { CupsAcquirer } from '../../simulators/scheme/cups-acquirer.ts'
import { CupsSimulator } from '../../simulators/scheme/cups.ts'
import { systemClock, wait } from '../../switch/runtime/clock.ts'
import { seededRandom, type Random } from '../../switch/runtime/random.ts'
import { World } from '../world.ts'
import { disagreements, underWay } from './books.ts'
import { Floor, IncomingTill, RULES, TerminalTill, type Act } from './floor.ts'

/** Terminals give up after this, ms: beyond the switch's own wait for a network. */
const TERMINAL_WAIT_MS = 3_000
/** Other banks' terminals: their network does not tell them of a dead line, so they wait it out. */
const ACQUIRER_WAIT_MS = 1_000
/** Settling: links, reversals with their pauses, store-and-forward. */
const SETTLE_MS_MAX = 30_000
const LOOK_MS = 25

export const CRASH_EDITS = [
  [/reply_timeout_ms: \d+/g, 'reply_timeout_ms: 500'],
  [/retry_first_ms: \d+/, 'retry_first_ms: 100'],
  [/retry_max_ms: \d+/, 'retry_max_ms: 800'],
  [/workers: 2/, 'workers: 1'],
  // A second request while the first waits finds no room: known never to have left.
  [/institution: "400001"/, 'institution: "400001"\n    pending_max: 1'],
  [/role: scheme/g, 'role: scheme\n    reconnect_min_ms: 50'],
] as const

/** How a life of the switch ended. */
export type Ending = 'killed' | 'alive'

export class CrashWorld {
  readonly world: World
  readonly sql: pg.Pool
  readonly floor: Floor
  readonly random: Random
  /** What was killed since the books were last found equal. */
  readonly sinceAgreed: string[] = []
  /** How often the books were compared. */
  compared = 0
  readonly #stopPeer: () => Promise<void>
  #pid = 0
  #logStart = 0

  private constructor(
    world: World, sql: pg.Pool, floor: Floor, random: Random, stop: () => Promise<void>,
  ) {
    this.world = world
    this.sql = sql
    this.floor = floor
    this.random = random
    this.#stopPeer = stop
  }

  static async make(seed: number): Promise<CrashWorld> {
    const world = await World.make({ edits: CRASH_EDITS })
    const random = seededRandom(seed)
    const visa = { rules: world.rules.visa, bookPath: bookPath(world.home, 'visa') }
    world.visa = await runScheme('visa', world.outside, visa)
    const { acquirer, stop } = await startCups(world)
    const choice = { answerTimeoutMs: TERMINAL_WAIT_MS }
    const pos = (terminal: string): TerminalTill =>
      new TerminalTill('pos', terminal, world.pos({ ...choice, terminal }), random)
    const tills = [
      pos('10000001'),
      pos('10000002'),
      new TerminalTill('atm', '20000001', world.atm(choice), random),
      new IncomingTill(acquirer, random),
      new IncomingTill(acquirer, random),
    ]
    const renewKeys = (): void => {
      void world.visa?.desk.handle('renew-keys')
      void world.cups?.desk.handle('renew-keys')
    }
    const sql = new pg.Pool({ connectionString: world.database.url, max: 2 })
    sql.on('error', () => undefined) // some tests kill the database
    for (const name of ['visa', 'cups'] as const) world.faults(name, ...RULES[name])
    return new CrashWorld(world, sql, new Floor(tills, random, renewKeys), random, stop)
  }

  /** Starts the switch; false when it died on the way. */
  async start(crashAt = ''): Promise<boolean> {
    const environment: Record<string, string> =
      crashAt === '' ? {} : { SWITCHYARD_CRASH_AT: crashAt }
    this.#logStart = this.log().length
    try {
      await this.world.startSwitch(environment)
      this.#pid = this.world.switchPid
      return true
    } catch (error) {
      const [point = ''] = crashAt.split(':')
      if (point === '' || !this.reached(point)) throw error
      this.#pid = 0
      return false
    }
  }

  /** Whether the process that start() made is there. */
  alive(): boolean {
    if (this.#pid === 0) return false
    try {
      process.kill(this.#pid, 0)
      return true
    } catch {
      return false
    }
  }

  kill(): Promise<void> {
    return this.world.endSwitch('SIGKILL')
  }

  /** Trades until the switch is dead, or for so long. */
  async tradeUntilDead(acts: readonly Act[], ms: number): Promise<Ending> {
    const until = systemClock.monotonicMs() + ms
    await this.floor.trade(acts, () => !this.alive() || systemClock.monotonicMs() > until)
    return this.alive() ? 'alive' : 'killed'
  }

  /**
   * Terminals clear up, reversals go out, then the books are compared.
   *
   * @returns disagreements, or null when the switch died before it had settled
   */
  async settle(): Promise<string[] | null> {
    const until = systemClock.monotonicMs() + SETTLE_MS_MAX
    const over = (): boolean => !this.alive() || systemClock.monotonicMs() > until
    await this.#linksUp(over)
    await this.floor.clearUp(over)
    let left = 'not looked yet'
    while (left !== '' && !over()) {
      left = await underWay(this.sql).catch(() => 'the database does not answer')
      if (left !== '') await wait(systemClock, LOOK_MS)
    }
    if (!this.alive()) return null
    const { home } = this.world
    const paths = { visa: bookPath(home, 'visa'), cups: bookPath(home, 'cups') }
    const found = await disagreements(this.sql, this.floor.items, paths)
    this.compared++
    if (left !== '') found.unshift(`did not settle in ${SETTLE_MS_MAX} ms: ${left}`)
    if (found.length === 0) this.sinceAgreed.length = 0
    return found
  }

  async #linksUp(over: () => boolean): Promise<void> {
    while (!over()) {
      const text = await this.world.readyText()
      const ours = text.includes('visa ready') && text.includes('cups ready')
      const theirs = ours ? await this.world.askCups({ do: 'status' }) : {}
      if (theirs['ownLineReady'] === true) return // the line on which other banks' terminals come
      await wait(systemClock, LOOK_MS)
    }
  }

  /** Whether the switch says, since it was last started, that it died at this point. */
  reached(point: string): boolean {
    return this.log().slice(this.#logStart).includes(`crash point ${point} reached`)
  }

  log(): string {
    const path = join(this.world.home, 'switch.log')
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }

  async close(): Promise<void> {
    this.floor.close()
    await this.sql.end()
    await this.world.endSwitch('SIGTERM')
    await this.#stopPeer()
    await this.world.close()
  }
}

/**
 * The CUPS simulator with its own line into the switch, whose terminals give up as soon as ours.
 */
async function startCups(
  world: World,
): Promise<{ acquirer: CupsAcquirer; stop: () => Promise<void> }> {
  const { token, clock, random, log, config, home } = world.outside
  const link = config.links.find((one) => one.name === 'cups')
  if (link?.role !== 'scheme' || !link.connect) {
    throw new Error('the configuration has no CUPS link')
  }
  const secret = bookSecret(token.cipher(KEY_LABEL.cupsExchange))
  const file = new BookFile(bookPath(home, 'cups'), 'cups', secret, clock)
  const book = new IssuerBook(file)
  const memberId = link.institution ?? config.institution
  const rules = world.rules.cups
  const simulator = new CupsSimulator({
    listen: link.connect, dial: link.listen, token, clock, random, book, log, rules,
    ownId: link.peer_institution, memberId,
  })
  const answerTimeoutMs = ACQUIRER_WAIT_MS
  const acquirer = new CupsAcquirer({
    simulator, token, clock, random, book, memberId, answerTimeoutMs,
  })
  const port = await simulator.start()
  const desk = new ControlDesk({
    name: 'cups', book, rules, acquirer,
    status: () => simulator.status(),
    renewKeys: () => simulator.renewKeys(),
  })
  world.cups = { port, desk, stop: () => Promise.resolve() }
  const stop = async (): Promise<void> => {
    await simulator.stop()
    await wait(clock, 50)
    file.close()
  }
  return { acquirer, stop }
}
